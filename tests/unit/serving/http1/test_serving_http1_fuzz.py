"""No bytes make the HTTP/1 engine break its word, and no other program reads them otherwise."""

import random

from http1_target import SNIPPETS, fuzz_http1, seeds
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=120), st.integers(0, 127))
def test_any_bytes_keep_every_promise(data: bytes, mode: int) -> None:
    fuzz_http1(bytes((mode * 2,)) + data)


@settings(deadline=None, max_examples=500)
@given(st.lists(st.integers(0, len(SNIPPETS) - 1), max_size=25), st.integers(0, 127))
def test_any_order_of_pieces_of_requests_keeps_every_promise(script: list[int], mode: int) -> None:
    fuzz_http1(bytes((mode * 2 + 1, *script)))


def test_good_requests_with_a_few_bytes_changed_keep_every_promise() -> None:
    dice = random.Random(7)
    stream = b"".join([one for one in SNIPPETS if b"HTTP/1.1\r\nHost" in one]) * 2
    for _ in range(1500):
        wire = bytearray(stream)
        for _ in range(dice.randrange(1, 4)):
            place = dice.randrange(len(wire))
            wire[place : place + dice.randrange(2)] = dice.choice((b"", b"\r", b"\n", b" ", b"\0", b":", b"0", b"a"))
        fuzz_http1(bytes((dice.randrange(0, 256, 2),)) + bytes(wire))


def test_the_seeds_get_far() -> None:
    for seed in seeds():
        fuzz_http1(seed)
