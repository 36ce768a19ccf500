"""Make the Python code of every contract, the only way it ever comes to be.

Run ``python proto/generate.py`` after a change to a ``.proto`` file. A test runs it into an
empty folder and compares, so that generated code can be neither edited nor forgotten.
"""

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
GENERATED = PROTO / "gen" / "python"


def sources() -> list[str]:
    """Return the paths of all contracts, relative to the folder ``proto``, sorted."""
    return sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("onecode/**/*.proto"))


def generate(target: Path) -> None:
    """Write modules and type stubs of all contracts below ``target``.

    Raises:
        SystemExit: The compiler refused a contract; it has printed why.
    """
    target.mkdir(parents=True, exist_ok=True)
    arguments = [
        "protoc",
        f"--proto_path={PROTO}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
        *sources(),
    ]
    status = protoc.main(arguments)
    if status != 0:
        sys.exit(status)
    # The model server answers the Open Inference Protocol by engines of its own: stubs would only pull in a library.
    for path in (target / "onecode" / "oip").rglob("*_pb2_grpc.py*"):
        path.unlink()
    # Contracts without a service leave a file that holds nothing but a version check.
    for path in target.rglob("*_pb2_grpc.py"):
        if "class " not in path.read_text(encoding="utf-8"):
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)


if __name__ == "__main__":
    generate(GENERATED)
