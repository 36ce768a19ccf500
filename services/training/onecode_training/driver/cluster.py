"""Say what the driver needs from whatever its trials run on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from onecode_training.adapters.trial_task import Made, Question, Work
from onecode_training.domain.portfolio import Candidate


class Cluster(Protocol):
    """Where trials work."""

    def share(self, question: Question) -> Any:
        """Send what all trials share, once, and return its handle."""
        ...

    def each(
        self,
        work: Work,
        shared: Any,
        candidates: list[Candidate],
        at_a_time: int,
        begin: Callable[[Candidate], bool],
    ) -> Iterator[tuple[Candidate, Made, bool]]:
        """Yield (candidate, answer, whether it may be kept) as trials finish; ``begin`` may leave one out."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


OpenCluster = Callable[[str, int, Path], Cluster]
"""Opens a cluster: its address (empty: an own one), processors of an own one, a file to note its folder in."""
