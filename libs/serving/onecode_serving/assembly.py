"""Make a data plane as an operator's settings want it, the same in the cloud and on a gateway."""

import json
from pathlib import Path
from typing import Any

from onecode_common.clock import Clock
from onecode_common.errors import InvalidError
from onecode_serving.call_log import CallLog
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.options import ModelOptions, parse_options
from onecode_serving.domain.validation import Limits
from onecode_serving.settings import ServingSettings


def new_plane(settings: ServingSettings, counters: Counters, clock: Clock, source: str) -> DataPlane:
    """Return an empty data plane.

    Args:
        settings: Limits, options of models, memory, call log.
        counters: Where outcomes of arms are counted.
        clock: Of the plane.
        source: Who serves: ``cloud`` or the gateway's id.

    Raises:
        InvalidError: The file with the models' options cannot be read, or traces cannot be sent as it is set.
    """
    call_log = CallLog(settings.call_log_dir, clock) if settings.call_log_dir is not None else None
    limits = Limits(settings.max_rows, settings.max_message_bytes)
    more: dict[str, Any] = {
        "source": source, "limits": limits, "resident_bytes": settings.resident_bytes, "call_log": call_log
    }  # fmt: skip
    if settings.otlp_endpoint:
        plane: DataPlane = _traced_plane(settings, counters, clock, more)
    else:
        plane = DataPlane(counters, clock, **more)
    if settings.models_file is not None:
        plane.set_options(read_options(settings.models_file))
    return plane


def _traced_plane(settings: ServingSettings, counters: Counters, clock: Clock, more: dict[str, Any]) -> DataPlane:
    # OpenTelemetry is an extra, and ten MiB of memory, that only those pay who switch it on.
    try:
        from onecode_serving.tracing.otlp import OtlpExport, OtlpOptions  # noqa: PLC0415
        from onecode_serving.tracing.plane import TracedPlane  # noqa: PLC0415
        from onecode_serving.tracing.tracing import Tracing  # noqa: PLC0415
    except ImportError as error:
        message = f"OTLP_ENDPOINT is set and {error.name} is not installed: pip install 'onecode[tracing]'"
        raise InvalidError(message, code="tracing.missing", params={"package": error.name}) from error
    options = OtlpOptions(
        settings.otlp_endpoint,
        settings.otlp_headers_file,
        settings.otlp_certificate_file,
        f"onecode-{settings.service}",
        more["source"],
    )
    tracing = Tracing(OtlpExport(options, clock), settings.share(), clock)
    plane = TracedPlane(tracing.recorder, counters, clock, **more)
    plane.tracing = tracing
    return plane


def read_options(path: Path) -> dict[str, ModelOptions]:
    """Return the options by model.

    Raises:
        InvalidError: The file is not there, not JSON, or says something unknown.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"cannot read the models' options in {path}: {error}"
        raise InvalidError(message, code="options.file", params={"file": path}) from error
    try:
        return parse_options(document)
    except InvalidError as error:
        message = f"{path}: {error.message}"
        raise InvalidError(message, code=error.code, params=error.params) from error
