"""Run trials as Ray tasks, on a Ray of this run's own or on a cluster."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from onecode_common.errors import UnavailableError
from onecode_training.adapters.trial_task import Made, Question, Work
from onecode_training.domain.portfolio import Candidate

_STORE_BYTES = 150 << 20
_LONGEST_TEMPORARY = 40
"""Ray's sockets lie below its folder, and a socket's path holds 107 bytes."""


class RayCluster:
    """Where the trials of a run work.

    Args:
        address: Of a cluster; empty: start a Ray here, which refuses everybody without the token of its owner.
        cpus: Processors of an own Ray.
        note: File that holds the folder of an own Ray, so that it can be removed after a kill.

    Raises:
        UnavailableError: Ray does not start, or the cluster does not answer.
    """

    def __init__(self, address: str, cpus: int, note: Path) -> None:
        self._folder: Path | None = None
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING", "configure_logging": False}
        try:
            if address:
                ray.init(address=address, **common)
                return
            self._folder = _temporary()
            note.write_text(str(self._folder))
            ray.init(
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(self._folder),
                **common,
            )
        except (RayError, ConnectionError, OSError, ValueError, RuntimeError) as error:
            message = f"Ray {address or 'on this machine'} does not start: {str(error)[:300]}"
            raise UnavailableError(message, code="ray.unavailable") from error

    def share(self, question: Question) -> Any:
        """Send what all trials share, once, and return its handle."""
        return ray.put(question)

    def each(
        self,
        work: Work,
        shared: Any,
        candidates: list[Candidate],
        at_a_time: int,
        begin: Callable[[Candidate], bool],
    ) -> Iterator[tuple[Candidate, Made, bool]]:
        """Yield (candidate, answer, whether it may be kept) as trials finish.

        Args:
            work: A function of an importable module.
            shared: Of :meth:`share`.
            candidates: In the order in which they begin.
            at_a_time: How many work beside each other.
            begin: Told of each candidate before it begins; False leaves it out.
        """
        task = ray.remote(work).options(num_cpus=1, max_retries=1)
        waiting = list(candidates)
        running: dict[Any, Candidate] = {}
        while waiting or running:
            while waiting and len(running) < at_a_time:
                candidate = waiting.pop(0)
                if begin(candidate):
                    running[task.remote(shared, candidate)] = candidate
            if not running:
                continue
            ready, _ = ray.wait(list(running), num_returns=1)
            candidate = running.pop(ready[0])
            try:
                yield candidate, ray.get(ready[0]), True
            except RayError as error:
                # A worker that was killed or ran out of memory says nothing about the candidate.
                yield candidate, Made(reason=f"its worker ended: {type(error).__name__}"), False

    def close(self) -> None:
        """End an own Ray and remove its folder; leave a cluster."""
        ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _temporary() -> Path:
    folder = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="oc-ray-", dir=folder if len(folder) <= _LONGEST_TEMPORARY else "/tmp"))  # noqa: S108 - mkdtemp makes it ours
