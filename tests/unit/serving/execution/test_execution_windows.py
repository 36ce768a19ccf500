"""A model that takes windows is asked by rows: the server keeps what came before, for each sequence, within bounds."""

import numpy as np
import pytest
import serving_models as make
from execution_bench import Bench, request
from onnx import TensorProto, helper

from onecode_common.errors import InvalidError, PreconditionError
from onecode_serving.data_plane import full_route
from onecode_serving.domain.cost import Cost
from onecode_serving.domain.messages import InferenceReply, Parameter
from onecode_serving.domain.options import ModelOptions, WindowOptions
from onecode_serving.execution.windows import Windows
from onecode_serving.session import contract_of, open_session
from onecode_serving.version import ServedVersion

ROWS, WIDTH = 3, 2


def window_sum(rows: int = ROWS) -> ServedVersion:
    """Return a model that adds up each column of a window."""
    content = make.serialized(
        [helper.make_node("ReduceSum", ["features", "axes"], ["prediction"], keepdims=0)],
        [make.value("features", TensorProto.FLOAT, ["N", rows, WIDTH])],
        [make.value("prediction", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    session = open_session(content)
    version = ServedVersion("m", 1, "sha256:" + "0" * 64, contract_of(session), session)
    version.cost = Cost(10e-6, 0.0)
    return version


def window_bench(options: WindowOptions | None = None) -> Bench:
    bench = Bench()
    bench.plane.set_options({"m": ModelOptions(window=options or WindowOptions("features", ROWS))})
    version = window_sum()
    bench.plane.install(version)
    bench.plane.set_routes({"m": full_route("m", version.digest, 1)})
    return bench


def ask(bench: Bench, *values: float, **parameters: Parameter) -> list[float]:
    """Send rows of these values; return the first row of the answer."""
    rows = np.repeat(np.array(values, np.float32)[:, None], WIDTH, axis=1)
    told = bench.ask_general(rows, parameters=parameters)
    bench.turns.until_quiet()
    reply = told[0]
    assert isinstance(reply, InferenceReply)
    return list(reply.outputs[0].array[0].tolist())


def test_each_answer_is_about_the_last_rows_of_its_own_sequence() -> None:
    bench = window_bench()
    assert ask(bench, 1, 2, 3, sequence_id="a", sequence_start=True) == [6.0, 6.0]
    assert ask(bench, 10, 20, 30, sequence_id="b", sequence_start=True) == [60.0, 60.0]
    assert ask(bench, 4, sequence_id="a") == [9.0, 9.0]
    assert ask(bench, 40, sequence_id="b") == [90.0, 90.0]


def test_a_window_that_is_not_full_says_how_many_rows_it_wants_and_keeps_those_it_has() -> None:
    bench = window_bench()
    with pytest.raises(PreconditionError, match="has 1 of 3 rows: send 2 more"):
        ask(bench, 1, sequence_id=7, sequence_start=True)
    assert ask(bench, 2, 3, sequence_id=7) == [6.0, 6.0]


@pytest.mark.parametrize("parameters", [{}, {"sequence_id": 0}, {"sequence_id": ""}])
def test_a_request_without_a_sequence_is_told_to_name_one(parameters: dict[str, Parameter]) -> None:
    with pytest.raises(InvalidError, match="set sequence_id"):
        ask(window_bench(), 1, 2, 3, **parameters)


def test_a_sequence_that_was_not_started_or_has_ended_is_not_known() -> None:
    bench = window_bench()
    with pytest.raises(InvalidError, match="begin it with sequence_start"):
        ask(bench, 1, sequence_id="a")
    assert ask(bench, 1, 2, 3, sequence_id="a", sequence_start=True, sequence_end=True) == [6.0, 6.0]
    with pytest.raises(InvalidError, match="begin it with sequence_start"):
        ask(bench, 1, sequence_id="a")


def test_a_start_forgets_what_came_before() -> None:
    bench = window_bench()
    ask(bench, 1, 2, 3, sequence_id="a", sequence_start=True)
    assert ask(bench, 5, 5, 5, sequence_id="a", sequence_start=True) == [15.0, 15.0]


def test_sequences_are_bounded_in_number_and_in_time() -> None:
    windows = Windows(WindowOptions("features", 2, sequences=2, idle_s=10.0))
    rows = {"features": np.ones((2, WIDTH), np.float32)}
    for name, now in (("a", 0.0), ("b", 1.0), ("c", 2.0)):
        windows.filled(rows, {"sequence_id": name, "sequence_start": True}, now)
    assert len(windows) == 2
    with pytest.raises(InvalidError, match="'a' is not known here"):
        windows.filled(rows, {"sequence_id": "a"}, 3.0)
    windows.filled(rows, {"sequence_id": "c"}, 11.5)
    assert len(windows) == 1


def test_a_new_version_goes_on_with_the_rows_that_are_there() -> None:
    bench = window_bench()
    ask(bench, 1, 2, 3, sequence_id="a", sequence_start=True)
    again = window_sum()
    again.digest, again.release = "sha256:" + "1" * 64, 2
    bench.plane.install(again)
    bench.plane.set_routes({"m": full_route("m", again.digest, 2)})
    assert ask(bench, 4, sequence_id="a") == [9.0, 9.0]


def test_callers_are_told_to_send_rows() -> None:
    bench = window_bench()
    version, _ = bench.plane.metadata("m", "")
    assert bench.plane.contract(version).inputs[0].shape == (-1, WIDTH)


def test_a_window_of_another_size_than_the_model_takes_is_refused_when_it_is_installed() -> None:
    bench = Bench()
    bench.plane.set_options({"m": ModelOptions(window=WindowOptions("features", 5))})
    with pytest.raises(InvalidError, match=r"shape \[-1, 5, ...\]: the model has \[-1, 3, 2\]"):
        bench.plane.install(window_sum())


def test_a_windowed_request_has_no_plan() -> None:
    bench = window_bench()
    asked = request(np.ones((3, WIDTH), np.float32), parameters={"sequence_id": 1, "sequence_start": True})
    assert bench.plane.plan(asked) is None
