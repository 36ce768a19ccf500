"""Say who may ask which models for what and how often, as an operator wrote it down."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import translate
from types import MappingProxyType
from typing import Any

from onecode_common.errors import InvalidError
from onecode_serving.domain.rate import Rate

VERBS = ("read", "infer", "admin")
"""What may be allowed: ask about models; ask models; load, unload and change settings."""

PREDICTS = frozenset({"read", "infer"})
"""What a caller may do of whom no more is said than that it may predict."""

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,127}")
_MEMBERS = frozenset({"principal", "keys", "certificates", "models", "verbs", "rate", "concurrency", "expires"})


@dataclass(frozen=True, slots=True)
class Tenant:
    """What one principal may do here.

    Attributes:
        principal: Its name in metrics and refusals.
        models: Matches the names of models that it may know of.
        verbs: Some of :data:`VERBS`.
        rate: For each model; None: as often as it likes.
        concurrency: Requests in hand at once for each model; 0: as many as it likes.
        expires: Unix seconds after which its keys are refused; infinity: never.
    """

    principal: str
    models: re.Pattern[str] | None = None
    verbs: frozenset[str] = PREDICTS
    rate: Rate | None = None
    concurrency: int = 0
    expires: float = float("inf")

    def may_know(self, model: str) -> bool:
        """Return whether this name is among its models."""
        return self.models is None or self.models.fullmatch(model) is not None

    def share(self, processes: int) -> "Tenant":
        """Return what each of several processes allows, so that all together allow no more than this.

        Raises:
            InvalidError: A limit is too small to be divided: some process could never let a request pass.
        """
        rate = None if self.rate is None else self.rate.share(processes)
        if (rate is not None and rate.burst < 1) or 0 < self.concurrency < processes:
            message = f"{self.principal}: {processes} processes need a burst and a concurrency of at least {processes}"
            raise _refused(message)
        return replace(self, rate=rate, concurrency=self.concurrency // processes)

    @property
    def unlimited(self) -> bool:
        """Every model may be read and asked, as often as it likes."""
        return self.models is None and self.verbs >= PREDICTS and self.rate is None and not self.concurrency


@dataclass(frozen=True, slots=True)
class Tenants:
    """All principals of one server.

    Attributes:
        keys: By the SHA-256 of a key, in hex.
        certificates: By the name in a client's certificate, such as ``dns:press-3``.
        named: By principal, for callers whose name is proven by a signature.
        secret_names: A model that a caller may not ask looks as if it did not exist.
    """

    keys: Mapping[str, Tenant] = field(default_factory=lambda: MappingProxyType({}))
    certificates: Mapping[str, Tenant] = field(default_factory=lambda: MappingProxyType({}))
    named: Mapping[str, Tenant] = field(default_factory=lambda: MappingProxyType({}))
    secret_names: bool = False


def parse_tenants(text: str, processes: int = 1) -> Tenants:
    """Return the tenants of a file: a JSON document, or in its simplest form one digest of a key a line.

    Args:
        text: Of the file.
        processes: That divide every limit evenly among them.

    Raises:
        InvalidError: It is neither, or a limit cannot be divided; the message says where.
    """
    if not text.lstrip().startswith("{"):
        return _digests(text.split())
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _refused(f"it is not JSON: {error}") from error
    unknown = set(document) - {"schema", "secret_names", "tenants"}
    if unknown or document.get("schema") != 1 or not isinstance(document.get("tenants"), list):
        raise _refused("expected the members schema (1), secret_names and tenants (a list)")
    secret = document.get("secret_names", False)
    if not isinstance(secret, bool):
        raise _refused("secret_names: expected true or false")
    return _collect(document["tenants"], secret, processes)


def _digests(lines: Sequence[str]) -> Tenants:
    if any(not _HEX.fullmatch(line) for line in lines):
        raise _refused("it holds something else than SHA-256 digests in hex")
    keys = {line: Tenant(f"key:{line[:8]}") for line in lines}
    return Tenants(keys=MappingProxyType(keys))


def _collect(entries: Sequence[Any], secret_names: bool, processes: int) -> Tenants:
    keys: dict[str, Tenant] = {}
    certificates: dict[str, Tenant] = {}
    named: dict[str, Tenant] = {}
    for place, entry in enumerate(entries):
        where = f"tenants[{place}]"
        if not isinstance(entry, dict) or set(entry) - _MEMBERS:
            raise _refused(f"{where}: expected some of {', '.join(sorted(_MEMBERS))}")
        tenant = _tenant(entry, where).share(processes)
        if tenant.principal in named:
            raise _refused(f"{where}: the principal {tenant.principal!r} occurs twice")
        named[tenant.principal] = tenant
        for found, member in ((keys, "keys"), (certificates, "certificates")):
            for one in _texts(entry, member, where):
                if one in found:
                    raise _refused(f"{where}.{member}: {one[:12]!r} belongs to two tenants")
                if member == "keys" and not _HEX.fullmatch(one):
                    raise _refused(f"{where}.keys: expected SHA-256 digests in hex")
                found[one] = tenant
    return Tenants(MappingProxyType(keys), MappingProxyType(certificates), MappingProxyType(named), secret_names)


def _tenant(entry: Mapping[str, Any], where: str) -> Tenant:
    principal = entry.get("principal")
    if not isinstance(principal, str) or not _NAME.fullmatch(principal):
        raise _refused(f"{where}.principal: expected a name of letters, digits and _.:@/-")
    verbs = frozenset(_texts(entry, "verbs", where)) if "verbs" in entry else PREDICTS
    if not verbs <= set(VERBS):
        raise _refused(f"{where}.verbs: expected some of {', '.join(VERBS)}, got {', '.join(sorted(verbs))[:80]!r}")
    concurrency = entry.get("concurrency", 0)
    if type(concurrency) is not int or concurrency < 0:
        raise _refused(f"{where}.concurrency: expected a whole number, 0 for no limit")
    globs = _texts(entry, "models", where) if "models" in entry else ["*"]
    return Tenant(principal, _pattern(globs), verbs, _rate(entry, where), concurrency, _expires(entry, where))


def _pattern(globs: Sequence[str]) -> re.Pattern[str] | None:
    if "*" in globs:
        return None
    return re.compile("|".join(translate(glob) for glob in globs) or r"(?!)")


def _rate(entry: Mapping[str, Any], where: str) -> Rate | None:
    rate = entry.get("rate")
    if rate is None:
        return None
    if not isinstance(rate, dict) or set(rate) - {"per_s", "burst"} or "per_s" not in rate:
        raise _refused(f"{where}.rate: expected the members per_s and burst")
    per_s, burst = rate["per_s"], rate.get("burst", max(1, rate["per_s"]))
    if any(type(one) not in (int, float) for one in (per_s, burst)) or not (0 < per_s <= 1e9 and 1 <= burst <= 1e9):  # noqa: PLR2004 - far above any rate
        raise _refused(f"{where}.rate: expected per_s above 0 and burst of at least 1")
    return Rate(float(per_s), float(burst))


def _expires(entry: Mapping[str, Any], where: str) -> float:
    text = entry.get("expires")
    if text is None:
        return float("inf")
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise _refused(f"{where}.expires: expected a time such as 2027-01-31T00:00:00Z, got {text!r:.40}") from error
    if moment.tzinfo is None:
        raise _refused(f"{where}.expires: {text!r:.40} names no time zone, end it with Z")
    return moment.timestamp()


def _texts(entry: Mapping[str, Any], member: str, where: str) -> list[str]:
    found = entry.get(member, [])
    if not isinstance(found, list) or any(not isinstance(one, str) or not one for one in found):
        raise _refused(f"{where}.{member}: expected a list of texts")
    return found


def _refused(why: str) -> InvalidError:
    return InvalidError(f"the tenants file cannot be used: {why}", code="serving.tokens")
