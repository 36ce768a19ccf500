"""Carry what one caller was allowed, from the header that proved it to the call that uses it."""

from onecode_common.errors import DeniedError, ExhaustedError
from onecode_serving.domain.names import unknown_model
from onecode_serving.domain.rate import Bucket, full, take
from onecode_serving.domain.tenants import Tenant

MODELS = 1024
"""Models of one principal that are metered apart; names come from the wire, so the rest share one meter."""

RETRY_BUSY_MS = 10
"""When to come again after a refusal for too many requests in hand."""


class _Meter:
    __slots__ = ("bucket", "in_hand")

    def __init__(self) -> None:
        self.bucket: Bucket | None = None
        self.in_hand = 0


class Meters:
    """What one principal uses now, by model; outlives its grants, so that a reload forgets nothing.

    Attributes:
        refused: Requests that a limit of its turned away.
    """

    __slots__ = ("_by_model", "refused")

    def __init__(self) -> None:
        self._by_model: dict[str, _Meter] = {}
        self.refused = 0

    def of(self, model: str) -> _Meter:
        """Return the meter of a model."""
        meter = self._by_model.get(model)
        if meter is None:
            if len(self._by_model) >= MODELS:
                model = ""
            meter = self._by_model.setdefault(model, _Meter())
        return meter


class Grant:
    """What a caller may do; kept as long as it is good and asked once a call. Used by the loop's thread only.

    Attributes:
        principal: Who it is, for metrics.
        until: Monotonic seconds after which the credential must be shown again; infinity: never, as long as the rules
            stay as they are.
        free: Every model may be read and asked without limit, so that neither :meth:`take` nor, for the verbs ``read``
            and ``infer``, :meth:`check` needs to be called. It says nothing about ``admin``.
    """

    __slots__ = ("__weakref__", "_meters", "_secret", "_tenant", "free", "principal", "until")

    def __init__(
        self,
        tenant: Tenant,
        meters: Meters,
        *,
        until: float = float("inf"),
        secret_names: bool = False,
    ) -> None:
        self._tenant = tenant
        self._meters = meters
        self._secret = secret_names
        self.principal = tenant.principal
        self.until = until
        self.free = tenant.unlimited

    def check(self, verb: str, model: str = "") -> None:
        """Let the caller do this.

        Args:
            verb: ``health`` is everybody's; else ``read``, ``infer`` or ``admin``.
            model: Whom it concerns; empty if no single one.

        Raises:
            DeniedError: It may not.
            NotFoundError: It may not, and names are secret: as if there were no such model.
        """
        tenant = self._tenant
        if model and not tenant.may_know(model):
            if self._secret:
                raise unknown_model(model)
            message = f"{tenant.principal} may not use model {model[:80]!r}: ask for it to be added to its models"
            raise DeniedError(message, code="access.model", params={"field": "model_name", "got": model[:80]})
        if verb not in tenant.verbs and verb != "health":
            message = f"{tenant.principal} may not {verb}: it has {', '.join(sorted(tenant.verbs)) or 'no rights'}"
            raise DeniedError(message, code="access.verb", params={"verb": verb})

    def knows(self, model: str) -> bool:
        """Return whether a list of models may name this one to the caller."""
        return not self._secret or self._tenant.may_know(model)

    def take(self, model: str, now: float) -> None:
        """Begin a request; :meth:`give` must follow when it has ended, unless this raises.

        Args:
            model: As the caller named it.
            now: Monotonic seconds.

        Raises:
            ExhaustedError: Too often, or too many at once; ``params["retry_after_ms"]`` says when to come again.
        """
        if self.free:
            return
        tenant, meter = self._tenant, self._meters.of(model)
        if tenant.concurrency and meter.in_hand >= tenant.concurrency:
            message = f"{tenant.principal} has {meter.in_hand} requests to {model[:80]!r} in hand: wait for an answer"
            raise self._exhausted(message, "limit.concurrency", RETRY_BUSY_MS)
        if tenant.rate is not None:
            meter.bucket, wait_s = take(tenant.rate, meter.bucket or full(tenant.rate, now), now)
            if wait_s > 0:
                message = f"{tenant.principal} may ask {model[:80]!r} {tenant.rate.per_s:g} times a second: ask later"
                raise self._exhausted(message, "limit.rate", int(wait_s * 1000) + 1)
        meter.in_hand += 1

    def give(self, model: str) -> None:
        """End a request that :meth:`take` began."""
        if not self.free:
            meter = self._meters.of(model)
            meter.in_hand = max(0, meter.in_hand - 1)

    def _exhausted(self, message: str, code: str, retry_after_ms: int) -> ExhaustedError:
        self._meters.refused += 1
        return ExhaustedError(message, code=code, params={"retry_after_ms": retry_after_ms})
