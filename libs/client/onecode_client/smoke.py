"""Prove an installation from outside with one prediction: a model of four weights goes all the way and answers.

The model is registered as ``onecode-smoke`` and released to the cloud once; later runs only ask it again.
"""

import json
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from onecode_client.client import OneCode
from onecode_client.rest import Rest
from onecode_client.rollouts import make_plan
from onecode_client.waiting import EndedBadlyError
from onecode_common.errors import NotFoundError, UnavailableError

MODEL = "onecode-smoke"
_REQUEST = "onecode-smoke-1"
_WEIGHTS = ((2.0, 1.0), (0.5, -1.0))
_ROWS = 64
_ROW = (3.0, 4.0)
_TOLERANCE = 1e-4
_AGAIN_S = 1.0
# ONNX, IR 10, opset 18: scores = features x w, float32 [n, 2] in and out, w as above.
_ONNX = (
    "CAoSB29uZWNvZGU6ewodCghmZWF0dXJlcwoBdxIGc2NvcmVzIgZNYXRNdWwSBXNtb2tlKhsIAggCEAFCAXdKEAAAAEAAAIA/AAAAPwAAgL9a"
    "GwoIZmVhdHVyZXMSDwoNCAESCQoDEgFuCgIIAmIZCgZzY29yZXMSDwoNCAESCQoDEgFuCgIIAkIECgAQEg=="
)

Say = Callable[[str], None]


def check_faces(console: str, predict: str, say: Say) -> None:
    """Ask both faces what they tell everybody.

    Raises:
        UnavailableError: One of them does not answer.
    """
    for url, path in ((console, "/login"), (predict, "/v2/health/live")):
        with closing(Rest(url, "")) as rest:
            rest.send("GET", f"{rest.server}{path}")
        say(f"{url}{path} answers")


def check_prediction(console: str, predict: str, token: str, limit_s: float, say: Say) -> None:
    """Bring the model to the cloud if it is not there, ask it through the OIP face and compare.

    Args:
        console: URL of the console.
        predict: URL of the OIP face.
        token: The administrator's, which may predict too.
        limit_s: For release and first answer, each.
        say: Told of each step.

    Raises:
        EndedBadlyError: The release did not succeed, or the answer is wrong.
        UnavailableError: No answer in time.
        OnecodeError: A step was refused.
    """
    server = OneCode(console, token)
    with closing(server.rest):
        _release(server, limit_s, say)
        got = _answer(predict, token, limit_s)
    want = [sum(x * w for x, w in zip(_ROW, column, strict=True)) for column in zip(*_WEIGHTS, strict=True)]
    if any(abs(one - other) > _TOLERANCE for one, other in zip(got, want, strict=True)):
        message = f"{MODEL} answers {got} to {list(_ROW)}, expected {want}"
        raise EndedBadlyError(message, code="smoke.wrong")
    say(f"{predict} answers {got} to {list(_ROW)}, as it should")


def _release(server: OneCode, limit_s: float, say: Say) -> None:
    try:
        rollout = server.rollouts.get(_REQUEST)
    except NotFoundError:
        with tempfile.TemporaryDirectory() as folder:
            file, golden = Path(folder, "smoke.onnx"), Path(folder, "golden.jsonl")
            file.write_bytes(b64decode(_ONNX))
            golden.write_bytes(golden_set())
            version = server.models.import_onnx(file, MODEL, golden=golden, request_id=_REQUEST)
        say(f"registered {MODEL} release {version.release}")
        plan = make_plan(MODEL, version.digest, ["cloud"], shares=[10_000], preset={"probation_seconds": 1})
        rollout = server.rollouts.start(plan, rollout_id=_REQUEST)
    if not rollout.ended:
        rollout = server.rollouts.wait(_REQUEST, timeout_s=limit_s)
    if not rollout.succeeded:
        message = f"the release of {MODEL} ended as {rollout.state}: {rollout.sentence}"
        raise EndedBadlyError(message, code="smoke.release")
    say(f"{MODEL} is released to the cloud")


def _answer(url: str, token: str, limit_s: float) -> list[float]:
    # Plain JSON: this also runs where numpy is not installed.
    body = {"inputs": [_tensor("features", list(_ROW))]}
    end = time.monotonic() + limit_s
    with closing(Rest(url, token)) as rest:
        while True:
            try:
                answer = rest.send("POST", f"{rest.server}/v2/models/{MODEL}/infer", json=body).json()
                return [float(value) for value in answer["outputs"][0]["data"]]
            except (NotFoundError, UnavailableError):
                # A replica that has just started fetches the policy first.
                if time.monotonic() > end:
                    raise
            time.sleep(_AGAIN_S)


def golden_set() -> bytes:
    """Return the questions with their answers, as JSON lines; exact in float32."""
    lines: list[dict[str, object]] = [
        {"format": 1, "rows": _ROWS, "atol": 1e-4, "rtol": 1e-4, "allowed_mismatch": 0},
    ]
    for number in range(_ROWS):
        row = (float(number), float(number % 7))
        scores = [sum(x * w for x, w in zip(row, column, strict=True)) for column in zip(*_WEIGHTS, strict=True)]
        lines.append({"inputs": [_tensor("features", list(row))], "outputs": [_tensor("scores", scores)]})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _tensor(name: str, data: list[float]) -> dict[str, object]:
    return {"name": name, "datatype": "FP32", "shape": [1, len(data)], "data": data}
