"""Calls between services: an error raised over the wire is the same error, and nobody gets in without a rule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode.ingestion.v1 import ingestion_pb2_grpc as rpc
from onecode_common.clock import SystemClock
from onecode_common.errors import (
    KINDS,
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    UnauthenticatedError,
    UnavailableError,
)
from onecode_common.keys import jwks_document, load_or_create_key, public_bytes
from onecode_common.rpc import GrpcServer, Peer, Rule, connect, current_caller
from onecode_common.rpc.status import unpack
from onecode_common.tokens import CALLER, INSIDE_AUDIENCE, PRINCIPAL, TokenIssuer, TokenVerifier, audience

SERVICE = "/onecode.ingestion.v1.IngestionService"
METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["IngestionService"].methods]


class Servicer(rpc.IngestionServiceServicer):
    """Raises what it is told, and says who asked."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def GetUpload(self, _request: pb.GetUploadRequest, _context: Any) -> pb.GetUploadResponse:
        if self.error is not None:
            raise self.error
        caller = current_caller()
        return pb.GetUploadResponse(upload=pb.Upload(upload_id=f"{caller.service} {caller.principal}"))


class Bench:
    """A server with rules, and issuers of tokens."""

    def __init__(self, folder: Path) -> None:
        names = ("console", "training", "registry")
        keys = {name: load_or_create_key(folder / f"{name}.key") for name in names}
        (folder / "jwks").write_bytes(jwks_document({name: public_bytes(key) for name, key in keys.items()}))
        clock = SystemClock()
        self.issuers = {name: TokenIssuer(name, key, clock) for name, key in keys.items()}
        self.verifier = TokenVerifier(folder / "jwks", clock)
        self.rules = {f"{SERVICE}/{name}": Rule.of("console") for name in METHODS}
        self.rules[f"{SERVICE}/GetUpload"] = Rule.of("console", "training")
        self.rules[f"{SERVICE}/CommitUpload"] = Rule.of("console", needs_principal=True)
        self.servicer = Servicer()  # type: ignore[abstract] # the other methods answer that they are not here
        self.server = GrpcServer("ingestion", "127.0.0.1:0", self.verifier, self.rules)
        rpc.add_IngestionServiceServicer_to_server(self.servicer, self.server.server)
        self.channels: list[grpc.Channel] = []

    def stub(self, service: str, principal: str = "") -> rpc.IngestionServiceStub:
        peer = Peer("ingestion", f"127.0.0.1:{self.server.port}")
        channel = connect(peer, self.issuers[service], lambda: principal)
        self.channels.append(channel)
        return rpc.IngestionServiceStub(channel)

    def bare(self, metadata: list[tuple[str, str]], method: str = "GetUpload", body: bytes = b"") -> grpc.RpcError:
        """Call without our client; return the error."""
        with grpc.insecure_channel(f"127.0.0.1:{self.server.port}") as channel:
            call: Any = channel.unary_unary(f"{SERVICE}/{method}")
            with pytest.raises(grpc.RpcError) as refusal:
                call(body, metadata=metadata, timeout=10)
            return refusal.value


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    one = Bench(tmp_path_factory.mktemp("rpc"))
    one.server.start()
    yield one
    for channel in one.channels:
        channel.close()
    one.server.stop()


@pytest.fixture(autouse=True)
def _calm(bench: Bench) -> None:
    bench.servicer.error = None


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"unavailable"}))
def test_an_error_raised_there_is_the_same_error_caught_here(bench: Bench, kind: str) -> None:
    bench.servicer.error = KINDS[kind](
        "第 3 行 has 'x'", code="data.ragged", hint="drop it", params={"row": 3, "空": "值 %00\n"}
    )
    with pytest.raises(OnecodeError) as refusal:
        bench.stub("console").GetUpload(pb.GetUploadRequest())
    found = refusal.value
    assert type(found) is KINDS[kind]
    assert (found.message, found.code, found.hint) == ("第 3 行 has 'x'", "data.ragged", "drop it")
    assert found.params == {"row": "3", "空": "值 %00\n"}


def test_unavailable_is_tried_again_and_then_told(bench: Bench) -> None:
    bench.servicer.error = UnavailableError("the disk is away", code="disk.away")
    with pytest.raises(UnavailableError) as refusal:
        bench.stub("console").GetUpload(pb.GetUploadRequest())
    assert refusal.value.code == "disk.away"


def test_a_failure_that_nobody_expected_says_nothing_of_itself(bench: Bench) -> None:
    bench.servicer.error = ZeroDivisionError("secret path /home/x")
    with pytest.raises(OnecodeError) as refusal:
        bench.stub("console").GetUpload(pb.GetUploadRequest())
    assert type(refusal.value) is OnecodeError
    assert "secret" not in str(refusal.value)


def test_who_asks_is_the_service_and_the_person_it_speaks_for(bench: Bench) -> None:
    person = bench.issuers["console"].mint(PRINCIPAL, "key:1", INSIDE_AUDIENCE)
    for service, principal, who in (
        ("console", person, "console key:1"),
        ("console", "", "console service:console"),
        ("training", person, "training key:1"),
    ):
        answer = bench.stub(service, principal).GetUpload(pb.GetUploadRequest())
        assert answer.upload.upload_id == who


@pytest.mark.parametrize("method", METHODS)
def test_no_method_answers_without_a_token(bench: Bench, method: str) -> None:
    console = bench.issuers["console"]
    for metadata in (
        [],
        [("authorization", "")],
        [("authorization", "Basic abc")],
        [("authorization", f"Bearer {console.caller('registry')}")],
        [("authorization", f"Bearer {console.mint(PRINCIPAL, 'key:1', INSIDE_AUDIENCE)}")],
    ):
        assert bench.bare(metadata, method).code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_service_without_the_right_is_denied(bench: Bench) -> None:
    with pytest.raises(DeniedError) as refusal:
        bench.stub("registry").GetUpload(pb.GetUploadRequest())
    assert refusal.value.params == {"caller": "registry", "method": f"{SERVICE}/GetUpload"}
    forged = bench.issuers["console"].mint(CALLER, audience("training"), audience("ingestion"))
    code = bench.bare([("authorization", f"Bearer {forged}")]).code()
    assert code == grpc.StatusCode.PERMISSION_DENIED


def test_only_the_console_speaks_for_people_and_some_calls_need_a_person(bench: Bench) -> None:
    forged = bench.issuers["training"].mint(PRINCIPAL, "key:admin", INSIDE_AUDIENCE)
    with pytest.raises(DeniedError) as refusal:
        bench.stub("training", forged).GetUpload(pb.GetUploadRequest())
    assert refusal.value.code == "auth.principal"
    with pytest.raises(DeniedError) as missing:
        bench.stub("console").CommitUpload(pb.CommitUploadRequest())
    assert missing.value.code == "auth.principal_missing"
    with pytest.raises(UnauthenticatedError):
        bench.stub("console", "rubbish").GetUpload(pb.GetUploadRequest())


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x08", bytes(range(256))])
def test_bytes_that_are_no_message_are_invalid(bench: Bench, body: bytes) -> None:
    token = bench.issuers["console"].caller("ingestion")
    refusal = bench.bare([("authorization", f"Bearer {token}")], body=body)
    assert refusal.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_that_is_too_large_is_refused_before_it_is_read(bench: Bench) -> None:
    token = bench.issuers["console"].caller("ingestion")
    refusal = bench.bare([("authorization", f"Bearer {token}")], body=bytes((16 << 20) + 1))
    assert refusal.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_method_is_unimplemented(bench: Bench) -> None:
    token = bench.issuers["console"].caller("ingestion")
    assert bench.bare([("authorization", f"Bearer {token}")], "Steal").code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_method_without_a_rule_stops_the_start(bench: Bench) -> None:
    rules = {name: rule for name, rule in bench.rules.items() if not name.endswith("/ListRows")}
    server = GrpcServer("ingestion", "127.0.0.1:0", bench.verifier, rules)
    rpc.add_IngestionServiceServicer_to_server(bench.servicer, server.server)
    with pytest.raises(InvalidError) as refusal:
        server.start()
    assert refusal.value.code == "rpc.no_rule"
    assert "ListRows" in refusal.value.message


def test_a_taken_port_is_an_error_that_names_it(bench: Bench) -> None:
    address = f"127.0.0.1:{bench.server.port}"
    with pytest.raises(ConflictError) as refusal:
        GrpcServer("ingestion", address, bench.verifier, {}).start()
    assert (refusal.value.code, refusal.value.params) == ("port.taken", {"address": address})


def test_nobody_is_asking_outside_a_call() -> None:
    with pytest.raises(UnauthenticatedError):
        current_caller()


class Call(grpc.RpcError):
    """A failed call of a server that is not ours."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "x"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFoundError),
        (grpc.StatusCode.UNIMPLEMENTED, OnecodeError),
        (grpc.StatusCode.OUT_OF_RANGE, InvalidError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, UnavailableError),
    ],
)
def test_a_status_without_our_details_is_understood_as_well(code: grpc.StatusCode, error: type[OnecodeError]) -> None:
    assert type(unpack(Call(code))) is error


def test_a_call_on_a_line_that_was_just_closed_is_refused(bench: Bench) -> None:
    """Another thread may close it at any moment, when a service stops; grpcio itself would end the process here."""
    stub = bench.stub("console")
    bench.channels[-1].close()
    with pytest.raises(ValueError, match="closed"):
        stub.GetUpload(pb.GetUploadRequest())
