"""Start the inference server: ``python -m onecode_inference``, settings from ``ONECODE_INFERENCE_…``."""

from collections.abc import Sequence

from prometheus_client import REGISTRY

from onecode_common.bus import Bus
from onecode_common.clock import Clock, SystemClock
from onecode_common.errors import OnecodeError
from onecode_common.keys import load_or_create_key
from onecode_common.program import Part, main
from onecode_common.tokens import CALLER, TokenIssuer, TokenVerifier, audience
from onecode_delivery.store import VerifiedVersion
from onecode_inference.adapters.distribution import SignedDistribution
from onecode_inference.adapters.members import MemberProcesses
from onecode_inference.adapters.reports import BusPublisher
from onecode_inference.adapters.sequences import SequenceFile
from onecode_inference.service import SOURCE, Ports, build
from onecode_inference.settings import InferenceSettings
from onecode_serving.access.access import Access
from onecode_serving.trial import TrialReport, try_model

_CALLERS = frozenset({"console"})
"""Services whose own tokens may predict."""


def assemble() -> tuple[str, str, str, Sequence[Part]]:
    """Read the settings, open the outside, and return the parts."""
    settings = InferenceSettings.load()
    clock = SystemClock()
    settings.home_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    distribution = _distribution(settings, clock)
    bus = Bus(settings.nats_url, settings.service, settings.nats_seed_file) if settings.nats_url else None
    publisher = BusPublisher(bus, settings.project, SOURCE) if bus else None
    members = MemberProcesses(settings)
    ports = Ports(
        distribution=distribution,
        publisher=publisher,
        sequences=SequenceFile(settings.home_dir / "sequence", clock),
        trial=_trial,
        access=open_access(settings, clock),
        doors=members.doors,
        start_member=members.start if settings.processes > 1 else None,
        clock=clock,
    )
    service = build(settings, ports)
    REGISTRY.register(service.collector)
    if publisher is not None:
        publisher.listen(settings.segment, service.reporter.acknowledge, service.reconciler.wake)
    parts = [*([bus] if bus else []), *service.parts]
    return settings.log_format, settings.log_level, settings.ops_address, parts


def _distribution(settings: InferenceSettings, clock: Clock) -> SignedDistribution:
    issuer = TokenIssuer(settings.service, load_or_create_key(settings.key_file), clock) if settings.key_file else None
    return SignedDistribution(
        settings.home_dir,
        settings.distribution_url,
        settings.root_file,
        settings.segment,
        settings.project,
        lambda: issuer.caller("registry") if issuer else "",
        clock,
    )


def open_access(settings: InferenceSettings, clock: Clock) -> Access:
    """Return who is let in; each process of the server asks by itself."""
    verifier = TokenVerifier(settings.jwks_file, clock) if settings.jwks_file else None

    def verify(token: str) -> str | None:
        if verifier is None:
            return None
        try:
            claims = verifier.verify(token, CALLER, audience(settings.service))
        except OnecodeError:
            return None
        trusted = claims.issuer in _CALLERS and claims.subject == audience(claims.issuer)
        return f"service:{claims.issuer}" if trusted else None

    return Access(
        anonymous=settings.anonymous,
        addresses=[address for address in (settings.rest_address, settings.grpc_address) if address],
        tokens_file=settings.tenants,
        clock=clock,
        verify=verify,
        processes=settings.processes,
    )


def _trial(version: VerifiedVersion) -> TrialReport:
    return try_model(version.onnx, version.manifest, version.golden)


if __name__ == "__main__":
    main("inference", assemble)
