"""Run one reading job from standard input, in a process that may use little and that ends with its parent."""

import json
import os
import resource
import sys
import threading
from typing import BinaryIO

_GRACE_S = 5


def main() -> None:
    """Read the job (one line), set the limits, do it, write the outcome (one document)."""
    job = json.loads(sys.stdin.buffer.readline())
    limits = job["limits"]
    # Arrow's own allocators reserve address space far ahead, which the limit would count.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory_bytes"], limits["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + _GRACE_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    # Only now, when the limits stand, is a native parser loaded.
    import pyarrow as pa  # noqa: PLC0415

    from onecode_ingestion.adapters.reading.child import do_job  # noqa: PLC0415

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    outcome = do_job(job)
    sys.stdout.buffer.write(json.dumps(outcome, allow_nan=False).encode())
    sys.stdout.buffer.flush()
    # Without the clean-up of an interpreter whose memory may be exhausted.
    os._exit(0)


def _end_with_parent(pipe: BinaryIO) -> None:
    pipe.read()
    os._exit(1)


if __name__ == "__main__":
    main()
