"""The data plane answers by its routes, counts arms exactly, and never serves half of a change."""

import numpy as np
import pytest
import serving_models as make

from onecode_common.clock import SystemClock
from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, PreconditionError, UnavailableError
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DEADLINE, DataPlane, full_route
from onecode_serving.domain.messages import InferenceRequest, Tensor
from onecode_serving.domain.routing import Arm, Route
from onecode_serving.loading import load_version
from onecode_serving.version import ServedVersion

FAR = 1e12


def loaded(model: str, release: int, content: bytes) -> ServedVersion:
    built = make.built(model, release, content)
    return load_version(built.manifest, built.onnx)


def plane_of(*versions: ServedVersion, draw: int = 0) -> DataPlane:
    plane = DataPlane(Counters(60), SystemClock(), draw=lambda: draw)
    for version in versions:
        plane.install(version)
    return plane


def ask(model: str = "m", values: float = 1.0, **more: object) -> InferenceRequest:
    raw = np.full((1, make.FEATURES), values, np.float32).tobytes()
    return InferenceRequest(model, (Tensor("features", "FP32", (1, make.FEATURES), raw=raw),), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def one() -> ServedVersion:
    return loaded("m", 1, make.plus(1))


@pytest.fixture(scope="module")
def two() -> ServedVersion:
    return loaded("m", 2, make.plus(2))


def split(one: ServedVersion, two: ServedVersion, unit: str = "request") -> Route:
    arms = (Arm(0, 1000, two.digest, 2, "candidate"), Arm(1000, 10_000, one.digest, 1, "stable"))
    return Route("m", "r_1", 7, unit, "r_1", arms)


@pytest.mark.parametrize(("draw", "release", "role"), [(999, 2, "candidate"), (1000, 1, "stable")])
def test_the_draw_decides_and_the_answer_says_who_gave_it(
    one: ServedVersion, two: ServedVersion, draw: int, release: int, role: str
) -> None:
    plane = plane_of(one, two, draw=draw)
    plane.set_routes({"m": split(one, two)})
    reply = plane.infer(ask(request_id="x"))
    assert (reply.release, reply.version, reply.arm, reply.request_id) == (release, str(release), role, "x")
    assert reply.digest == (one, two)[release - 1].digest
    assert reply.outputs[0].array.tolist() == [[1.0 + release] * make.FEATURES]
    row = plane.counters.take(FAR)[0]
    assert (row.model, row.rollout, row.revision, row.digest, row.role) == ("m", "r_1", 7, reply.digest, role)


def test_a_version_that_is_named_answers_and_counts_for_no_arm(one: ServedVersion, two: ServedVersion) -> None:
    plane = plane_of(one, two)
    plane.set_routes({"m": full_route("m", one.digest, 1)})
    for name in ("2", "02", two.digest):
        reply = plane.infer(ask(version=name))
        assert (reply.release, reply.arm) == (2, "")
    assert plane.counters.take(FAR) == []


@pytest.mark.parametrize(
    ("request_", "kind", "code"),
    [
        (ask("unknown"), NotFoundError, "model.unknown"),
        (ask(""), InvalidError, "model.unnamed"),
        (ask(version="9"), NotFoundError, "version.unknown"),
        (ask(version="sha256:" + "0" * 64), NotFoundError, "version.unknown"),
        (ask(version="abc"), InvalidError, "version.invalid"),
        (ask(version="-1"), InvalidError, "version.invalid"),
        (ask(version="１"), InvalidError, "version.invalid"),
        (ask("waiting"), UnavailableError, "model.not_loaded"),
        (ask(unit="u" * 257), InvalidError, "unit.too_long"),
    ],
)
def test_a_wrong_address_is_refused(
    one: ServedVersion, request_: InferenceRequest, kind: type[OnecodeError], code: str
) -> None:
    plane = plane_of(one)
    route = full_route("m", one.digest, 1)
    plane.set_routes({"m": Route("m", "", 0, "key", "", route.arms)})
    plane.announce({"waiting": "on its way"}, None)
    with pytest.raises(kind) as caught:
        plane.infer(request_)
    assert caught.value.code == code
    assert plane.counters.take(FAR) == []


def test_a_non_finite_answer_is_an_error_of_its_arm() -> None:
    version = loaded("m", 1, make.root_of())
    plane = plane_of(version)
    plane.set_routes({"m": full_route("m", version.digest, 1)})
    plane.infer(ask(values=4.0))
    with pytest.raises(OnecodeError) as caught:
        plane.infer(ask(values=-1.0))
    assert (caught.value.kind, caught.value.code) == ("internal", "model.non_finite_output")
    row = plane.counters.take(FAR)[0]
    assert (row.requests, row.errors, row.non_finite) == (2, 1, 1)


def test_a_request_that_is_late_never_reaches_the_model_and_is_no_evidence(one: ServedVersion) -> None:
    plane = plane_of(one)
    plane.set_routes({"m": full_route("m", one.digest, 1)})
    with pytest.raises(UnavailableError) as caught:
        plane.infer(ask(deadline=0.0))
    assert caught.value.code == DEADLINE
    assert plane.counters.take(FAR) == []


def test_a_key_decides_the_same_way_from_header_and_parameter(one: ServedVersion, two: ServedVersion) -> None:
    plane = plane_of(one, two)
    plane.set_routes({"m": split(one, two, "key")})
    units = [f"user-{number}" for number in range(200)]
    by_header = [plane.infer(ask(unit=unit)).release for unit in units]
    by_parameter = [plane.infer(ask(parameters={"onecode_unit": unit})).release for unit in units]
    assert by_header == by_parameter
    assert set(by_header) == {1, 2}


def test_a_missing_key_is_counted_as_unassigned(one: ServedVersion, two: ServedVersion) -> None:
    plane = plane_of(one, two)
    plane.set_routes({"m": split(one, two, "key")})
    assert plane.infer(ask()).release == 1
    row = plane.counters.take(FAR)[0]
    assert (row.unassigned, row.requests) == (1, 0)


def test_a_route_by_gateway_asks_who_serves_and_not_who_calls(one: ServedVersion, two: ServedVersion) -> None:
    def release(source: str) -> set[int]:
        plane = DataPlane(Counters(60), SystemClock(), source=source)
        plane.install(one)
        plane.install(two)
        plane.set_routes({"m": split(one, two, "gateway")})
        return {plane.infer(ask(unit=f"u{number}")).release for number in range(20)}

    served = [release(f"gw-{number:04}") for number in range(60)]
    assert all(len(releases) == 1 for releases in served)
    assert {1, 2} == set.union(*served)


def test_a_route_to_a_version_that_is_not_here_changes_nothing(one: ServedVersion, two: ServedVersion) -> None:
    plane = plane_of(one)
    plane.set_routes({"m": full_route("m", one.digest, 1)})
    with pytest.raises(PreconditionError):
        plane.set_routes({"m": full_route("m", two.digest, 2)})
    assert plane.infer(ask()).release == 1


def test_a_version_in_a_route_cannot_be_retired_and_another_can(one: ServedVersion, two: ServedVersion) -> None:
    plane = plane_of(one, two)
    plane.set_routes({"m": full_route("m", one.digest, 1)})
    with pytest.raises(PreconditionError):
        plane.retire(one.digest)
    plane.retire(two.digest)
    assert plane.installed() == {one.digest}


def test_metadata_names_the_versions_that_are_held(one: ServedVersion, two: ServedVersion) -> None:
    plane = plane_of(two, one)
    plane.set_routes({"m": full_route("m", one.digest, 1)})
    version, held = plane.metadata("m", "")
    assert (version.release, held) == (1, ["1", "2"])
    assert plane.model_ready("m", "2")
    assert not plane.model_ready("m", "3")


@pytest.mark.parametrize("change", ["onnx", "dtype", "name", "rank"])
def test_bytes_that_keep_another_contract_than_their_manifest_are_not_loaded(change: str) -> None:
    built = make.built("m", 1, make.plus(1))
    manifest = {**built.manifest, "contract": dict(built.manifest["contract"])}
    entry = dict(manifest["contract"]["inputs"][0])
    entry |= {"dtype": {"datatype": "FP64"}, "name": {"name": "other"}, "rank": {"shape": [-1]}, "onnx": {}}[change]
    manifest["contract"]["inputs"] = [entry]
    content = make.plus(2) if change == "onnx" else built.onnx
    with pytest.raises(InvalidError):
        load_version(manifest, content)
