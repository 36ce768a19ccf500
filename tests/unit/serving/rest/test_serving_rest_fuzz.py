"""No body makes the REST face fail by its own fault, and the same body always gets the same answer."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_target import fuzz_rest_body, seeds

BITS = (b"", b'"', b"[", b"]", b",", b"1", b"t", b":", b"{}", b"\0")
CALM = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])


@CALM
@given(st.binary(max_size=80), st.integers(0, 63))
def test_any_body_is_answered_or_refused(data: bytes, mode: int) -> None:
    fuzz_rest_body(bytes((mode,)) + data)


def test_good_bodies_with_a_few_bytes_changed_are_answered_or_refused() -> None:
    dice = random.Random(7)
    for _ in range(600):
        body = bytearray(dice.choice(seeds()))
        for _ in range(dice.randrange(1, 4)):
            place = dice.randrange(2, len(body))
            body[place : place + dice.randrange(3)] = dice.choice(BITS)
        fuzz_rest_body(bytes(body))


def test_the_seeds_get_far() -> None:
    for seed in seeds():
        fuzz_rest_body(seed)
