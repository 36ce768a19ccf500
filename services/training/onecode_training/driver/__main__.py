"""Work on one run: ``python -m onecode_training.driver FOLDER``, started by the service with the run's lock held."""

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_common.telemetry import configure_logging
from onecode_training.domain.job import JOB_FILE, read_job, spool_file
from onecode_training.driver.spool import Spool

_log = logging.getLogger(__name__)
_NICENESS = 5
"""Serving on the same machine goes first."""


class _StoppedError(BaseException):
    """The service asked the run to stop; no handler of errors may keep it."""


def main(folder: Path) -> int:
    """Run until the spool has the outcome or the reason why there is none; return the exit status."""
    configure_logging("driver", "text", "INFO")
    os.nice(_NICENESS)
    job = read_job((folder / JOB_FILE).read_bytes())
    spool = Spool(folder / spool_file(job.attempt), SystemClock())
    signal.signal(signal.SIGTERM, _stop)
    try:
        # These cost seconds and hundreds of megabytes; a stop may arrive meanwhile.
        from onecode_training.adapters.ray_cluster import RayCluster  # noqa: PLC0415
        from onecode_training.driver.story import Story  # noqa: PLC0415

        Story(job, folder, spool, RayCluster).tell()
    except OnecodeError as error:
        spool.broken(error.code, error.message)
        return 1
    except _StoppedError:
        spool.stopped()
        logging.shutdown()
        # Ray's orderly end takes seconds; the service ends what is left of the session.
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - the outermost frame: the run must say how it ended.
        _log.exception("the run failed")
        spool.broken("run.internal", f"the driver failed: {type(error).__name__}: {str(error)[:300]}")
        return 1
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _StoppedError


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
