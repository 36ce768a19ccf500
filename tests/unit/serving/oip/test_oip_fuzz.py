"""Whatever bytes come, the protocol answers or refuses, once."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oip_target import fuzz_infer_request, seeds, served

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])


@pytest.fixture(scope="module", autouse=True)
def _settings_as_before() -> Iterator[None]:
    """Some of the bytes change what is logged."""
    yield
    served()[0].close()


@CALM
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    fuzz_infer_request(data)


@settings(parent=CALM, max_examples=300)
@given(
    st.sampled_from(seeds()),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
)
def test_good_messages_with_some_bytes_changed_and_the_end_cut(
    seed: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(seed)
    for place, value in changes:
        if place < len(data):
            data[place] = value
    fuzz_infer_request(bytes(data[:end]) if end < len(data) else bytes(data))


@pytest.mark.parametrize("seed", seeds())
def test_good_messages(seed: bytes) -> None:
    fuzz_infer_request(seed)


def test_pieces_of_good_messages_in_any_order() -> None:
    dice = random.Random(4)
    parts = seeds()
    for _ in range(1500):
        pieces = [dice.choice(parts) for _ in range(dice.randint(1, 3))]
        cuts = [sorted(dice.choices(range(len(one) + 1), k=2)) for one in pieces]
        fuzz_infer_request(dice.randbytes(1) + b"".join(one[a:b] for one, (a, b) in zip(pieces, cuts, strict=True)))
