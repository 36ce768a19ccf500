"""Read a REST reply of the protocol: version and raw outputs, whether they came as JSON or as bytes."""

import json
from array import array

from bench.serving.messages import Reply

_CODES = {"FP32": "f", "INT64": "q"}


def rest_reply(data: bytes) -> Reply | None:
    """Return the reply once it is whole, None before.

    Raises:
        ValueError: The status is not 200, or the text is no reply.
    """
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    status, *lines = head.split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if len(body) < int(headers[b"content-length"]):
        return None
    if status.split()[1] != b"200":
        message = f"{status!r}: {body[:200]!r}"
        raise ValueError(message)
    length = int(headers.get(b"inference-header-content-length", len(body)))
    document, rest = json.loads(body[:length]), body[length:]
    outputs = []
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            outputs.append(array(_CODES[output["datatype"]], output["data"]).tobytes())
        else:
            outputs.append(rest[:size])
            rest = rest[size:]
    return Reply(document["model_version"], tuple(outputs))
