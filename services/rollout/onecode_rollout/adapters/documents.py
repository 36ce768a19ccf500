"""Turn records into JSON texts and back; unknown names in old texts are ignored, missing ones get defaults."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from onecode_rollout.domain.fleet import Source
from onecode_rollout.domain.plan import Budget, Plan, Preset, Step
from onecode_rollout.domain.planner import Estimate
from onecode_rollout.domain.policy import Arm, Entry, SegmentPolicy, Times
from onecode_rollout.domain.rollout import Mark, Overrides, Rollout, StepStart

_T = TypeVar("_T")
_COLUMNS = frozenset({"version", "sequence"})
"""Fields of a rollout that live in columns alone."""


def rollout_text(rollout: Rollout) -> str:
    """Return the record as JSON."""
    document = {name: value for name, value in asdict(rollout).items() if name not in _COLUMNS}
    return json.dumps(document, ensure_ascii=False)


def rollout_from(text: str, sequence: int, version: int) -> Rollout:
    """Return the record from its text and columns."""
    document = json.loads(text)
    document["plan"] = _plan(document["plan"])
    document["steps"] = tuple(_of(StepStart, one) for one in document["steps"])
    document["before"] = {
        name: _entry(value) if value is not None else None for name, value in document["before"].items()
    }
    document["marks"] = {name: _of(Mark, value) for name, value in document["marks"].items()}
    document["overrides"] = _of(Overrides, document["overrides"])
    document["estimate"] = _of(Estimate, document["estimate"])
    document["approvals"] = tuple(document["approvals"])
    return _of(Rollout, {**document, "sequence": sequence, "version": version})


def policy_text(policy: SegmentPolicy) -> str:
    """Return a policy's entries and times as JSON."""
    return json.dumps(asdict(policy), ensure_ascii=False)


def policy_from(text: str) -> SegmentPolicy:
    """Return the policy from its text."""
    document = json.loads(text)
    entries = {name: _entry(value) for name, value in document["entries"].items()}
    return SegmentPolicy(document["segment"], document["generation"], _of(Times, document["times"]), entries)


def source_text(source: Source) -> str:
    """Return what a source told as JSON."""
    return json.dumps(asdict(source), ensure_ascii=False)


def source_from(text: str) -> Source:
    """Return it from its text."""
    return _of(Source, json.loads(text))


def _plan(document: Mapping[str, Any]) -> Plan:
    return _of(
        Plan,
        {
            **document,
            "segments": tuple(document["segments"]),
            "steps": tuple(_of(Step, one) for one in document["steps"]),
            "preset": _of(Preset, document["preset"]),
            "metrics": tuple(_of(Budget, one) for one in document["metrics"]),
        },
    )


def _entry(document: Mapping[str, Any]) -> Entry:
    arms = tuple(_of(Arm, arm) for arm in document["arms"])
    shadow = document.get("shadow")
    parts = {"arms": arms, "shadow": None if shadow is None else _of(Arm, shadow)}
    return _of(Entry, {**document, **parts, "rollback_to": tuple(document["rollback_to"])})


def _of(kind: type[_T], document: Mapping[str, Any]) -> _T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in document.items() if name in known})
