"""Load a version from its verified bytes, beside those that serve and behind them."""

import contextlib
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from onecode_common.canonical import digest_of, sha256_hex
from onecode_common.errors import InvalidError
from onecode_serving.domain.contract import parse_contract
from onecode_serving.measuring import measure
from onecode_serving.probes import probe_rows
from onecode_serving.session import contract_of, open_session, require_same, trim_memory
from onecode_serving.version import ServedVersion

MODEL_FILE = "model.onnx"
_LAST = 19
BEHIND = 10
"""Niceness of a thread that dear runs are done in: on a core that it shares with the loop, whoever asks a cheap model
beside a flooded dear one of 4 ms waits 0.5 ms instead of 4.5, and the dear one answers as many. Not more: a thread that
is kept waiting while it holds the interpreter's lock keeps the loop waiting.
"""


def load_version(manifest: Mapping[str, Any], onnx: bytes) -> ServedVersion:
    """Load verified bytes in this process, check them against their manifest, and answer a probe row.

    All of it in a thread of low priority, so that those who are served meanwhile notice little.

    Raises:
        InvalidError: The bytes are not the manifest's, do not load, or keep another contract.
        OnecodeError: The model fails on a probe row.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="load", initializer=step_back) as quiet:
        return quiet.submit(_loaded, manifest, onnx).result()


def step_back(nice: int = _LAST) -> None:
    """Leave the processor to threads of a higher priority; for the calling thread only, and for good."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def _loaded(manifest: Mapping[str, Any], onnx: bytes) -> ServedVersion:
    contract = parse_contract(manifest.get("contract") or {})
    stated = {entry["name"]: entry["sha256"] for entry in manifest["files"]}
    if stated.get(MODEL_FILE) != sha256_hex(onnx):
        message = f"the model bytes are not those of the manifest: expected {stated.get(MODEL_FILE)}"
        raise InvalidError(message, code="version.digest")
    session = open_session(onnx)
    require_same(contract, contract_of(session))
    version = ServedVersion(
        str(manifest["model"]), int(manifest["release"]), digest_of(manifest), contract, session, len(onnx)
    )
    version.warm(probe_rows(contract))
    measure(version)
    trim_memory()
    return version
