"""Read the one document that says what a segment serves, and refuse it when any part is not understood.

A policy is trusted only after its signature was verified (:mod:`onecode_delivery.metadata`). Unknown fields are
ignored, so that an old reader survives a new writer, unless the writer lists them as critical.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onecode_common.assignment import BUCKETS
from onecode_common.errors import InvalidError
from onecode_common.ids import check_name, digest

UNITS = ("request", "key", "gateway")
ROLES = ("stable", "candidate")
SHADOW = "shadow"
MAX_BYTES = 1 << 20
"""A policy larger than this is refused before it is downloaded."""

_SCHEMA = 1
_OF_POLICY = ("schema", "tenant", "segment", "generation", "issued", "poll_s", "report_s", "interval_s", "critical")
_OF_MODEL = (
    "name",
    "rollout",
    "revision",
    "unit",
    "salt",
    "arms",
    "mode",
    "probation_s",
    "rollback_to",
    "floor",
    "hold",
    "shadow",
)
_OF_ARM = ("from", "to", "release", "digest", "role")
_KNOWN = frozenset((*_OF_POLICY, "models", *_OF_MODEL, *_OF_ARM))
_MAX_MODELS = 200
_MAX_ARMS = 20
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class ArmRange:
    """A share of the buckets and the version that answers there; half-open ``[start, end)`` in basis points."""

    start: int
    end: int
    release: int
    digest: str
    role: str


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """How one model is served.

    Attributes:
        name: What callers ask for.
        rollout: Id of the rollout that wrote the entry.
        revision: Grows when the set of digests in ``arms`` changes.
        unit: ``request``, ``key`` or ``gateway``.
        salt: Of the assignment's hash.
        arms: Disjoint, over all buckets, in order.
        probation_s: Seconds of serving before a version is committed.
        rollback_to: Digests to be kept on disk.
        floor: Lowest release that may be served.
        hold: No new switch is begun while it is set.
        shadow: Is shown in spare time what the stable version is asked, and answers nobody: an arm without a range.
    """

    name: str
    rollout: str
    revision: int
    unit: str
    salt: str
    arms: tuple[ArmRange, ...]
    mode: str
    probation_s: float
    rollback_to: tuple[str, ...]
    floor: int
    hold: bool
    shadow: ArmRange | None = None

    @property
    def digests(self) -> frozenset[str]:
        """All versions that answer."""
        return frozenset(arm.digest for arm in self.arms)

    @property
    def held(self) -> frozenset[str]:
        """All versions that are loaded."""
        return self.digests if self.shadow is None else self.digests | {self.shadow.digest}


@dataclass(frozen=True, slots=True)
class Policy:
    """What one segment serves.

    Attributes:
        generation: Grows with any change of the document.
        issued: When it was signed.
        poll_s: Seconds between two looks for a newer one.
        report_s: Seconds between two reports.
        interval_s: Length of a counting interval.
    """

    tenant: str
    segment: str
    generation: int
    issued: datetime
    poll_s: float
    report_s: float
    interval_s: int
    models: tuple[ModelPolicy, ...]

    def model(self, name: str) -> ModelPolicy | None:
        """Return a model's entry."""
        return next((model for model in self.models if model.name == name), None)


def parse_policy(content: bytes, tenant: str, segment: str) -> Policy:
    """Return the policy.

    Raises:
        InvalidError: ``sync.policy`` (not a policy), ``sync.schema``, ``sync.critical`` (a binding field is unknown),
            ``sync.tenant``, ``sync.segment`` (meant for another), ``sync.arms``, ``sync.floor``, ``sync.mode``.
    """
    document = strict_document(content, "sync.policy", MAX_BYTES)
    if document.get("schema") != _SCHEMA:
        raise _refused("sync.schema", f"the policy has schema {document.get('schema')!r}, this release reads {_SCHEMA}")
    _check_critical(document)
    try:
        policy = _policy(document)
    except InvalidError as error:
        if error.code.startswith("sync."):
            raise
        raise _refused("sync.policy", f"the policy cannot be read: {error.message}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused("sync.policy", f"the policy cannot be read: {error!r}") from error
    if policy.tenant != tenant:
        raise _refused("sync.tenant", f"the policy is for tenant {policy.tenant!r}, this is {tenant!r}")
    if policy.segment != segment:
        raise _refused("sync.segment", f"the policy is for segment {policy.segment!r}, this is {segment!r}")
    return policy


def strict_document(content: bytes, code: str, limit: int) -> dict[str, Any]:
    """Return a JSON object in which no key occurs twice and no number is infinite.

    Raises:
        InvalidError: With this code; ``sync.too_large`` when it is longer than the limit.
    """
    if len(content) > limit:
        raise _refused("sync.too_large", f"the document has {len(content)} bytes, at most {limit} are allowed")
    try:
        document = json.loads(content, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _refused(code, f"the document is not JSON: {str(error)[:120]}") from error
    if not isinstance(document, dict):
        raise _refused(code, "the document is not a JSON object")
    return document


def _check_critical(document: Mapping[str, Any]) -> None:
    critical = document.get("critical", [])
    if not isinstance(critical, list):
        raise _refused("sync.critical", "the list of critical fields is not a list")
    for name in critical:
        if name not in _KNOWN:
            raise _refused("sync.critical", f"the policy binds by {str(name)[:80]!r}, which this release does not know")


def _policy(document: Mapping[str, Any]) -> Policy:
    entries = _sequence(document["models"], _MAX_MODELS)
    policy = Policy(
        tenant=_text(document["tenant"]),
        segment=_text(document["segment"]),
        generation=_whole(document["generation"], 1),
        issued=_time(document["issued"]),
        poll_s=_number(document.get("poll_s", 30)),
        report_s=_number(document.get("report_s", 30)),
        interval_s=_whole(document.get("interval_s", 60), 1),
        models=tuple(_model(entry) for entry in entries),
    )
    if len({model.name for model in policy.models}) != len(policy.models):
        message = "a model occurs twice"
        raise ValueError(message)
    return policy


def _model(entry: Mapping[str, Any]) -> ModelPolicy:
    model = ModelPolicy(
        name=check_name(_text(entry["name"]), "model"),
        rollout=_text(entry.get("rollout", "")),
        revision=_whole(entry["revision"], 0),
        unit=_text(entry.get("unit", "request")),
        salt=_text(entry.get("salt", "")),
        arms=tuple(sorted((_arm(arm) for arm in _sequence(entry["arms"], _MAX_ARMS)), key=lambda arm: arm.start)),
        mode=_text(entry.get("mode", "active")),
        probation_s=_number(entry.get("probation_s", 1800)),
        rollback_to=tuple(digest(_text(name)) for name in _sequence(entry.get("rollback_to", []), _MAX_ARMS)),
        floor=_whole(entry.get("floor", 0), 0),
        hold=bool(entry.get("hold", False)),
        shadow=_shadow(entry.get("shadow")),
    )
    _check_model(model)
    return model


def _check_model(model: ModelPolicy) -> None:
    if model.mode != "active":
        raise _refused("sync.mode", f"model {model.name!r}: mode {model.mode[:40]!r} is not served by this release")
    if model.unit not in UNITS:
        raise _refused("sync.policy", f"model {model.name!r}: unit {model.unit[:40]!r} is none of {', '.join(UNITS)}")
    if "\0" in model.salt:
        raise _refused("sync.policy", f"model {model.name!r}: the salt holds U+0000")
    edge = 0
    for arm in model.arms:
        if arm.start != edge or arm.end < arm.start or arm.role not in ROLES:
            raise _refused("sync.arms", f"model {model.name!r}: arm [{arm.start}, {arm.end}) does not begin at {edge}")
        edge = arm.end
        if arm.release < model.floor:
            raise _refused("sync.floor", f"model {model.name!r}: release {arm.release} is below floor {model.floor}")
    if model.shadow is not None and model.shadow.release < model.floor:
        raise _refused("sync.floor", f"model {model.name!r}: its shadow is below floor {model.floor}")
    if edge != BUCKETS:
        raise _refused("sync.arms", f"model {model.name!r}: the arms end at {edge}, expected {BUCKETS}")


def _arm(entry: Mapping[str, Any]) -> ArmRange:
    return ArmRange(
        start=_whole(entry["from"], 0),
        end=_whole(entry["to"], 0),
        release=_whole(entry["release"], 1),
        digest=digest(_text(entry["digest"])),
        role=_text(entry["role"]),
    )


def _shadow(entry: Mapping[str, Any] | None) -> ArmRange | None:
    if entry is None:
        return None
    return ArmRange(0, 0, _whole(entry["release"], 1), digest(_text(entry["digest"])), SHADOW)


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = f"{str(value)[:40]!r} is not text"
        raise TypeError(message)
    return value


def _whole(value: object, least: int) -> int:
    if type(value) is not int or not least <= value < 1 << 62:
        message = f"{str(value)[:40]!r} is not a whole number from {least} on"
        raise ValueError(message)
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= float(str(value)) <= 365 * _DAY_S:
        message = f"{str(value)[:40]!r} is not a number of seconds"
        raise ValueError(message)
    return float(str(value))


def _time(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        message = f"{value!r} has no time zone"
        raise ValueError(message)
    return moment


def _sequence(value: object, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        message = f"expected a list of at most {most}"
        raise ValueError(message)
    return value


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        message = "a key occurs twice"
        raise ValueError(message)
    return document


def _no_constant(text: str) -> object:
    message = f"{text} is not a number"
    raise ValueError(message)


def _refused(code: str, message: str) -> InvalidError:
    return InvalidError(message, code=code, hint="the last good policy stays in force")
