"""A sequence belongs to who began it, over every face of the protocol; what the model sees is its last rows."""

from typing import Any

import numpy as np
import pytest
from oip_face import Face, grant_of, request, tensor
from tritonclient.grpc import InferRequestedOutput

from onecode_common.errors import OnecodeError


@pytest.fixture
def face() -> Face:
    return Face()


def reading(*values: float, sequence: Any = 7, start: bool = False, end: bool = False, **more: Any) -> Any:
    rows = np.array([[value, -value] for value in values], np.float32)
    message = request("moving", tensor("x", rows, "FP32"), **more)
    kind = "string_param" if isinstance(sequence, str) else "uint64_param"
    setattr(message.parameters["sequence_id"], kind, sequence)
    message.parameters["sequence_start"].bool_param = start
    message.parameters["sequence_end"].bool_param = end
    return message


def total(face: Face, message: Any) -> float:
    return float(face.infer(message).as_numpy("total")[0, 0])


def refusal(face: Face, message: Any) -> str:
    with pytest.raises(OnecodeError) as caught:
        face.infer(message)
    return caught.value.code


@pytest.mark.parametrize("sequence", [7, (1 << 64) - 1, "press-3"])
def test_the_model_sees_the_last_rows_of_the_sequence(face: Face, sequence: Any) -> None:
    assert total(face, reading(1, 2, 3, sequence=sequence, start=True)) == 6
    assert total(face, reading(4, sequence=sequence)) == 9
    assert total(face, reading(5, 6, sequence=sequence, end=True)) == 15
    assert refusal(face, reading(7, sequence=sequence)) == "sequence.unknown"


def test_a_sequence_begins_once_and_fills_first(face: Face) -> None:
    assert refusal(face, reading(1)) == "sequence.unknown"
    assert refusal(face, reading(1, start=True)) == "window.filling"
    assert refusal(face, reading(2)) == "window.filling"
    assert total(face, reading(3)) == 6
    assert refusal(face, reading(9, start=True)) == "window.filling"


@pytest.mark.parametrize("sequence", [0, ""])
def test_no_sequence_is_no_window(face: Face, sequence: Any) -> None:
    assert refusal(face, reading(1, 2, 3, sequence=sequence)) == "sequence.unnamed"


def test_nobody_goes_on_with_the_sequence_of_another(face: Face) -> None:
    assert total(face, reading(1, 2, 3, start=True)) == 6
    mine, face.grant = face.grant, grant_of("press-4")
    assert refusal(face, reading(4)) == "sequence.unknown"
    assert total(face, reading(10, 10, 10, start=True)) == 30
    face.grant = mine
    assert total(face, reading(4)) == 9


def test_sequences_go_on_inside_a_stream(face: Face) -> None:
    stream, call = face.stream("/inference.GRPCInferenceService/ModelStreamInfer")
    stream.message(reading(1, 2, 3, start=True, id="a").SerializeToString())
    for number in range(4, 9):
        stream.message(reading(number, id=str(number)).SerializeToString())
    face.turns.run()
    found = [np.frombuffer(one.infer_response.raw_output_contents[0], np.float32)[0] for one in call.replies()]
    assert found == [6, 9, 12, 15, 18, 21]
    assert total(face, reading(9)) == 24


def test_the_model_is_described_as_callers_use_it(face: Face) -> None:
    assert list(face.ask("ModelMetadata", name="moving").inputs[0].shape) == [-1, 2]
    config = face.ask("ModelConfig", name="moving").config
    assert (config.max_batch_size, list(config.input[0].dims)) == (0, [-1, 2])
    assert config.WhichOneof("scheduling_choice") == "sequence_batching"
    assert {"sequence", "sequence(string_id)"} <= set(face.ask("ServerMetadata").extensions)


def test_a_model_without_a_memory_takes_sequences_and_ignores_them(face: Face) -> None:
    array = np.ones((1, 4), np.float32)
    message = request("plus", tensor("features", array, "FP32"), outputs=[InferRequestedOutput("prediction")])
    message.parameters["sequence_id"].int64_param = 9
    message.parameters["sequence_end"].bool_param = True
    for _ in range(3):
        assert face.infer(message).as_numpy("prediction").tolist() == [[3, 3, 3, 3]]
