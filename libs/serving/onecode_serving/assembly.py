"""Make a data plane as an operator's settings want it, the same in the cloud and on a gateway."""

import json
from pathlib import Path

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
        InvalidError: The file with the models' options cannot be read.
    """
    call_log = CallLog(settings.call_log_dir, clock) if settings.call_log_dir is not None else None
    plane = DataPlane(
        counters,
        clock,
        source=source,
        limits=Limits(settings.max_rows, settings.max_message_bytes),
        resident_bytes=settings.resident_bytes,
        call_log=call_log,
    )
    if settings.models_file is not None:
        plane.set_options(read_options(settings.models_file))
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
