"""A stock client's streams are answered in order, whatever is in them and however they end."""

import numpy as np
import pytest
from oip_stock import Stock, features, headers, tensor


@pytest.mark.parametrize("many", [1, 64, 500])
def test_a_stream_answers_in_order_however_many_are_sent(stock: Stock, many: int) -> None:
    requests = [
        {
            "model_name": "plus",
            "inputs": [tensor("features", np.full((1, 4), number, np.float32))],
            "request_id": str(number),
        }
        for number in range(many)
    ]
    for results in (stock.streamed(requests), stock.aio_streamed(requests)):
        assert [result.get_response().id for result in results] == [str(number) for number in range(many)]
        assert [result.as_numpy("prediction")[0, 0] for result in results] == [number + 2 for number in range(many)]


def test_a_stream_of_many_models_keeps_its_order(stock: Stock) -> None:
    models = ["plus", "dense", "labelled", "optional", "gaps"] * 20
    requests = [
        {"model_name": model, "inputs": [tensor("features", features(1 + place % 3, place))], "request_id": str(place)}
        for place, model in enumerate(models)
    ]
    results = stock.streamed(requests)
    assert [result.get_response().model_name for result in results] == models
    assert [result.get_response().outputs[0].shape[0] for result in results] == [1 + place % 3 for place in range(100)]


@pytest.mark.parametrize("asked", [True, False])
def test_a_decoupled_client_sees_the_last_answer_of_each_request(stock: Stock, asked: bool) -> None:
    request = {"model_name": "plus", "inputs": [tensor("features", features())], "enable_empty_final_response": asked}
    for result in stock.streamed([request] * 4):
        parameters = result.get_response().parameters
        assert ("triton_final_response" in parameters) is asked
        if asked:
            assert parameters["triton_final_response"].bool_param is True


def test_a_stream_that_wants_real_errors_ends_with_the_first(stock: Stock) -> None:
    good = {"model_name": "plus", "inputs": [tensor("features", features())]}
    bad = {"model_name": "nobody", "inputs": [tensor("features", features())]}
    opening = {"headers": {**headers(), "triton_grpc_error": "true"}}
    (result, _), (_, error) = stock.outcomes([good, bad], opening)
    assert result.as_numpy("prediction").shape == (1, 4)
    assert "NOT_FOUND" in error.status()
    assert stock.streamed([good])[0].as_numpy("prediction").shape == (1, 4)


def test_a_cancelled_call_is_cancelled(stock: Stock) -> None:
    inputs = [tensor("features", features())]
    context = stock.client.async_infer("plus", inputs, lambda result, error: None, headers=headers())  # noqa: ARG005
    context.cancel()
    assert stock.infer("plain", "plus", [tensor("features", features())]).as_numpy("prediction").shape == (1, 4)


def test_a_stream_that_is_cut_off_leaves_the_server_well(stock: Stock) -> None:
    stock.client.start_stream(lambda result, error: None, headers=headers())  # noqa: ARG005 - called by name
    for _ in range(50):
        stock.client.async_stream_infer("plus", [tensor("features", features(100))])
    stock.client.stop_stream(cancel_requests=True)
    assert stock.infer("plain", "plus", [tensor("features", features())]).as_numpy("prediction").shape == (1, 4)
