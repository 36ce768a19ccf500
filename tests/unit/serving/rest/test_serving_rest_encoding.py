"""Bodies are packed and unpacked within their bounds."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import ExhaustedError, InvalidError
from onecode_serving.rest.encoding import accepted_encoding, check_encoding, deflated, inflated

Pack = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    """Return the form without a header."""
    return zlib.compress(data, wbits=-15)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
def test_gzip_and_both_kinds_of_deflate_are_read(pack: Pack) -> None:
    encoding = "gzip" if pack is gzip.compress else "deflate"
    assert inflated(pack(b"x" * 1000), encoding, 1000) == b"x" * 1000
    assert inflated(pack(b""), encoding, 1000) == b""
    with pytest.raises(ExhaustedError):
        inflated(pack(b"x" * 1001), encoding, 1000)
    with pytest.raises(InvalidError):
        inflated(pack(b"x" * 1000)[:-5], encoding, 1000)
    with pytest.raises(InvalidError):
        inflated(pack(b"x" * 1000) + b"more", encoding, 2000)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_unpacked_or_refused(noise: bytes, encoding: str) -> None:
    try:
        assert len(inflated(noise, encoding, 100)) <= 100
    except (InvalidError, ExhaustedError) as error:
        refused = error
        assert refused.message


def test_a_bomb_of_a_gigabyte_takes_no_memory() -> None:
    engine = zlib.compressobj(9, wbits=31)
    bomb = b"".join([engine.compress(b"\0" * (1 << 20)) for _ in range(64)]) + engine.flush()
    tracemalloc.start()
    with pytest.raises(ExhaustedError):
        inflated(bomb, "gzip", 1 << 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("name", ["br", "zstd", "gzip, gzip", "x-gzip"])
def test_other_encodings_are_refused(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        check_encoding(name)
    assert caught.value.code == "body.encoding"


@pytest.mark.parametrize(("name", "meant"), [("", ""), ("identity", ""), (" GZip ", "gzip"), ("Deflate", "deflate")])
def test_names_of_encodings_are_read_as_http_has_them(name: str, meant: str) -> None:
    assert check_encoding(name) == meant


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", ""), ("br", ""), ("identity", ""), ("*", ""), ("gzip", "gzip"), ("deflate, gzip", "deflate"),
        ("br, GZIP;q=0.5", "gzip"), ("gzip;q=0", ""), ("gzip; q=0.000, deflate", "deflate"), ("gzip;q=1.0", "gzip"),
    ],
)  # fmt: skip
def test_the_answer_is_packed_as_the_caller_can_read_it(accepted: str, chosen: str) -> None:
    assert accepted_encoding(accepted) == chosen


def test_deflate_means_the_zlib_format() -> None:
    assert zlib.decompress(deflated(b"abc", "deflate")) == b"abc"
    assert gzip.decompress(deflated(b"abc", "gzip")) == b"abc"
