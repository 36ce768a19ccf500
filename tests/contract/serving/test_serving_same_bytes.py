"""The cloud and a gateway give the same bytes for the same question, in every form, and they are onnxruntime's."""

from collections.abc import Iterator

import pytest
from same_faces import FACES, Program, can_carry
from same_models import samples
from same_programs import KEY, cloud, gateway

TIMES = 3
"""A form is looked at closely at first, planned when it comes again, and taken the short way from then on."""

ASKED = {"gRPC typed": 36, "REST JSON": 36, "REST body": 17}
"""Questions that a form can carry; the others carry all forty."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Program]]:
    folder = tmp_path_factory.mktemp("same")
    with cloud(folder / "cloud", samples()) as above, gateway(folder / "gateway", samples()) as below:
        both = Program(above, KEY), Program(below, KEY)
        yield both
        for one in both:
            one.close()


def test_there_are_twenty_models_of_twenty_kinds() -> None:
    assert len({one.name for one in samples()}) == len({one.built.digest for one in samples()}) == 20


@pytest.mark.parametrize("face", FACES)
def test_both_programs_give_the_same_bytes_and_the_right_ones(programs: tuple[Program, Program], face: str) -> None:
    asked, differing = 0, []
    for one in samples():
        for number, question in enumerate(one.questions):
            if not can_carry(face, one, question):
                continue
            asked += 1
            answers = [FACES[face](program, one, question) for program in programs for _ in range(TIMES)]
            if len({answer.whole for answer in answers}) > 1:
                differing.append(f"{one.name}, question {number}: answers differ: {answers}")
            if answers[0].outputs != question.answer:
                differing.append(f"{one.name}, question {number}: {answers[0].outputs}, right is {question.answer}")
    assert differing == []
    assert asked == ASKED.get(face, 40)
