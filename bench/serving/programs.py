"""Ask the cloud's program and a gateway's the same questions, and count answers that differ in a byte.

Run as a process of its own: ``python -m bench.serving.programs``. The questions, the twenty models and both programs
are those of the contract tests; their stock client's messages have the same full names as ours, and a process can have
one.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_TESTS = _ROOT / "tests"
_SHARED = (_TESTS / "contract" / "serving", _TESTS / "unit" / "serving", _TESTS / "integration" / "inference")
TIMES = 3
"""A form is looked at closely at first, planned when it comes again, and taken the short way from then on."""


@dataclass(frozen=True)
class Programs:
    """Answers of both programs; ``differing`` counts questions whose answers were not all the same, and right."""

    models: int
    forms: int
    questions: int
    differing: int


def compare() -> Programs:
    """Have both programs asked in a process of its own."""
    command = [sys.executable, "-m", "bench.serving.programs"]
    ended = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - ourselves
    return Programs(**json.loads(ended.stdout.splitlines()[-1]))


def _asked() -> Programs:
    sys.path[:0] = map(str, _SHARED)
    faces, models, both = map(import_module, ("same_faces", "same_models", "same_programs"))
    samples = models.samples()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        addresses = [
            stack.enter_context(both.cloud(folder / "cloud", samples)),
            stack.enter_context(both.gateway(folder / "gateway", samples)),
        ]
        programs = [faces.Program(address, both.KEY) for address in addresses]
        for one in programs:
            stack.callback(one.close)

        def differences() -> Iterator[bool]:
            for face, ask in faces.FACES.items():
                for sample in samples:
                    for question in sample.questions:
                        if faces.can_carry(face, sample, question):
                            answers = [ask(program, sample, question) for program in programs for _ in range(TIMES)]
                            same = len({answer.whole for answer in answers}) == 1
                            yield not same or answers[0].outputs != question.answer

        found = list(differences())
    return Programs(len(samples), len(faces.FACES), len(found), sum(found))


if __name__ == "__main__":
    print(json.dumps(asdict(_asked())))
