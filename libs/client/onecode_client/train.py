"""Training runs: from a data-set version and a recipe to a proven model version."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from onecode_client.nouns import Noun, part, wait_until
from onecode_client.results import Progress, Run
from onecode_client.sse import frames
from onecode_common.errors import UnavailableError
from onecode_common.ids import new_id

_EVERY_S = 1.0


class Train(Noun):
    """Training runs."""

    def validate(self, recipe: str | Mapping[str, Any], *, dataset_version: str = "") -> list[Mapping[str, Any]]:
        """Return what is wrong with a recipe, each with its path; nothing is started."""
        body = {"recipe": _recipe(recipe), "dataset_version": dataset_version}
        return list(self._rest.post("/recipes/validate", body).get("problems", []))

    def start(self, recipe: str | Mapping[str, Any], *, data: str, model: str = "", run_id: str = "") -> Run:
        """Start a run.

        Args:
            recipe: YAML or JSON text, or a mapping.
            data: Data-set version id, or the name of a data set (then its newest version).
            model: Name to register the result under; empty: do not register.
            run_id: Own id, so that a repetition starts nothing twice.

        Raises:
            InvalidError: The recipe does not fit.
            ConflictError: The id is taken by another run.
        """
        version = data
        if not data.startswith("sha256:"):
            version = self._rest.get(f"/datasets/{part(data)}")["version"]["version_id"]
        body = {"run_id": run_id or new_id("r"), "dataset_version": version, "recipe": _recipe(recipe), "model": model}
        return Run.read(self._rest.post("/runs", body)["run"])

    def get(self, run_id: str) -> Run:
        """Return a run."""
        return Run.read(self._rest.get(f"/runs/{part(run_id)}")["run"])

    def list(self) -> Sequence[Run]:
        """Return all runs, newest first."""
        return [Run.read(one) for one in self._pages("/runs", "runs")]

    def watch(self, run_id: str, *, after: int = 0) -> Iterator[Progress]:
        """Yield every progress point until the run ends; a cut is mended by going on after the last one.

        Raises:
            NotFoundError: There is no such run.
            UnavailableError: The server stayed away.
        """
        while True:
            try:
                with self._rest.stream(f"/runs/{part(run_id)}/progress", {}, after=after) as lines:
                    for frame in frames(lines):
                        if frame.name == "progress":
                            point = Progress.read(frame.document)
                            after = max(after, point.sequence)
                            yield point
            except UnavailableError:
                # The next question waits for the server, or says that it stays away.
                pass
            if self.get(run_id).ended:
                return

    def wait(
        self, run_id: str, *, timeout_s: float | None = None, on_change: Callable[[Run], None] = lambda _run: None
    ) -> Run:
        """Return the run when it has ended, well or not.

        Raises:
            WorkTimeoutError: It has not, in time.
        """

        def look() -> Run:
            run = self.get(run_id)
            on_change(run)
            return run

        return wait_until(look, lambda run: run.ended, timeout_s, _EVERY_S)

    def stop(self, run_id: str) -> Run:
        """Ask a run to stop."""
        return Run.read(self._rest.post(f"/runs/{part(run_id)}/stop", {})["run"])

    def resume(self, run_id: str) -> Run:
        """Start an interrupted, stopped or failed run again from its last finished trial."""
        return Run.read(self._rest.post(f"/runs/{part(run_id)}/resume", {})["run"])


def _recipe(recipe: str | Mapping[str, Any]) -> str | dict[str, Any]:
    return recipe if isinstance(recipe, str) else dict(recipe)
