"""Write each decision down so that anybody can check later who decided, on what evidence, and that nothing was changed.

A record is canonical JSON, signed, and names the digest of the record before it; weighing its counters
again must give what it says.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from onecode_common.canonical import canonical, sha256_hex
from onecode_rollout.domain.evaluation import RULES, Answer, Question, answer, question_document, question_from

GENESIS = "0" * 64
"""What the first record of a rollout names as the one before it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision as it is kept.

    Attributes:
        record: Canonical JSON.
        signature: Ed25519 over the record, base64.
        previous: SHA-256 of the previous record, hex.
    """

    rollout_id: str
    number: int
    time: float
    kind: str
    from_state: str
    to_state: str
    rule: str
    by: str
    sentence: str
    generation: int
    record: str
    signature: str
    previous: str


def record(facts: Mapping[str, object], asked: Question | None, weighed: Answer | None) -> bytes:
    """Return the record: the facts of the change, what was weighed and what came out."""
    document = {
        **facts,
        "rules": RULES,
        "question": question_document(asked) if asked is not None else None,
        "answer": asdict(weighed) if weighed is not None else None,
    }
    return canonical(document)  # type: ignore[arg-type]


def replay_agrees(text: str) -> bool:
    """Whether weighing the record's counters again gives, bit for bit, the answer that it holds."""
    document = json.loads(text)
    if document["question"] is None:
        return document["answer"] is None
    again: object = json.loads(canonical(asdict(answer(question_from(document["question"])))))
    return bool(again == document["answer"])


def digest(text: str) -> str:
    """Return the SHA-256 of a record, by which the next one names it."""
    return sha256_hex(text.encode())
