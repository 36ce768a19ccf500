"""No bytes make the engine raise, write without bound, or tell of a request that nobody made."""

from random import Random

from http2_target import fuzz_http2
from hypothesis import example, given, settings
from hypothesis import strategies as st


@settings(max_examples=200)
@given(st.integers(0, 127), st.binary(max_size=300))
def test_any_bytes(mode: int, data: bytes) -> None:
    fuzz_http2(bytes((mode,)) + data)


@settings(max_examples=300)
@given(st.integers(0x80, 0xBF), st.binary(max_size=200))
@example(0x85, bytes((0, 0)) * 100)
def test_any_script_of_frames(mode: int, script: bytes) -> None:
    fuzz_http2(bytes((mode,)) + script)


def test_random_scripts_get_far() -> None:
    """Ten thousand frames that live longer than hypothesis' favourites."""
    dice = Random(4)
    for _ in range(120):
        fuzz_http2(bytes((dice.randrange(0x80, 0xC0),)) + dice.randbytes(200))
