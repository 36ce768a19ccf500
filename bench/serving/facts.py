"""Say what a reader must know to compare: processor, system, versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("onnxruntime", "numpy", "protobuf", "uvloop", "grpcio")


def facts() -> dict[str, str]:
    """Return the machine and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    machine = {"cpu": cpu, "cores": str(os.cpu_count()), "kernel": platform.release()}
    return {**machine, "python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
