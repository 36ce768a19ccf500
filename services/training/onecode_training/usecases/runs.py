"""Start, stop, resume, find and watch runs."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from onecode_common.errors import ExhaustedError, InvalidError, NotFoundError
from onecode_common.ids import check_id, check_name, digest
from onecode_training.domain.journal import told
from onecode_training.domain.recipe import Problem, recipe_text, refuse
from onecode_training.domain.run import (
    QUEUED,
    Point,
    Run,
    Trial,
    asked_to_resume,
    asked_to_stop,
    body_digest,
    require_same,
)
from onecode_training.domain.table import problems_with
from onecode_training.ports import Ports, Unit
from onecode_training.usecases.bell import Bell

_PAGE, _MOST_ON_A_PAGE = 50, 200
_POINTS_AT_A_TIME = 500
_MOST_WATCHERS = 12
"""Each takes a thread of the server as long as it watches."""
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """A run with its trials."""

    run: Run
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watcher gets: a point, and the run where its state is new to them."""

    point: Point | None
    view: View | None


class Runs:
    """What a caller may do.

    Args:
        ports: Everything from outside.
        project: The only one that this service works for.
        changed: Rung whenever a run may have something to do or to show.
    """

    def __init__(self, ports: Ports, project: str, changed: Bell) -> None:
        self._records = ports.records
        self._recipes = ports.recipes
        self._datasets = ports.datasets
        self._clock = ports.clock
        self._project = project
        self._changed = changed
        self._watchers = threading.BoundedSemaphore(_MOST_WATCHERS)

    def validate(self, project: str, text: str, dataset_version: str) -> tuple[list[Problem], str]:
        """Return what is wrong with a recipe, or its canonical form.

        Raises:
            NotFoundError: There is no such data-set version.
        """
        self._check_project(project)
        recipe, problems = self._recipes.read(text)
        if recipe is None or problems:
            return problems, ""
        if dataset_version:
            problems = problems_with(recipe, self._datasets.find(digest(dataset_version)))
        return problems, "" if problems else recipe_text(recipe)

    def start(self, project: str, run_id: str, dataset_version: str, text: str, model: str, by: str) -> View:
        """Return the new run; asking the same again returns it as it is now.

        Raises:
            InvalidError: ``recipe.invalid`` and others; nothing was started.
            ConflictError: ``run.exists``: the id was used for something else.
            NotFoundError: There is no such data-set version.
        """
        self._check_project(project)
        check_id(run_id, "run id")
        if model:
            check_name(model, "model")
        version = digest(dataset_version)
        recipe, problems = self._recipes.read(text)
        refuse(problems)
        if recipe is None:
            message = "the recipe is empty"
            raise InvalidError(message, code="recipe.invalid")
        written = recipe_text(recipe)
        body = body_digest(version, written, model)
        with self._records.transaction() as unit:
            earlier = unit.runs.get(run_id)
            if earlier is not None:
                require_same(earlier, body)
                return _view(unit, earlier)
        refuse(problems_with(recipe, self._datasets.find(version)))
        now = self._clock.now()
        run = Run(run_id, project, body, QUEUED, version, written, model, created=now, created_by=by)
        with self._records.transaction() as unit:
            earlier = unit.runs.get(run_id)
            if earlier is not None:
                require_same(earlier, body)
                return _view(unit, earlier)
            unit.runs.add(run)
            run = self._tell(unit, run, "waiting for its turn")
            unit.audit(by, "run.start", run_id, f"{version} as {model or 'no model'}")
        self._changed.ring()
        return View(run, ())

    def get(self, project: str, run_id: str) -> View:
        """Return a run.

        Raises:
            NotFoundError: There is none.
        """
        self._check_project(project)
        with self._records.transaction() as unit:
            return _view(unit, _found(unit, run_id))

    def page(self, project: str, size: int, token: str) -> tuple[list[View], str]:
        """Return runs, newest first, and the token of the next page.

        Raises:
            InvalidError: The token is not one of ours.
        """
        self._check_project(project)
        if token and not (token.isascii() and token.isdigit() and len(token) < 19):  # noqa: PLR2004 - 64 bits
            message = f"page token {token[:40]!r} is none of ours: begin without one"
            raise InvalidError(message, code="page.token", params={"value": token[:40]})
        count = min(size if size > 0 else _PAGE, _MOST_ON_A_PAGE)
        with self._records.transaction() as unit:
            rows = unit.runs.page(int(token or 0), count + 1)
            views = [_view(unit, run) for _, run in rows[:count]]
        return views, str(rows[count - 1][0]) if len(rows) > count else ""

    def stop(self, project: str, run_id: str, by: str) -> View:
        """Ask a run to stop; its finished trials are kept.

        Raises:
            NotFoundError: There is none.
            PreconditionError: ``run.ended``.
        """
        return self._move(project, run_id, by, asked_to_stop, "run.stop", "asked to stop")

    def resume(self, project: str, run_id: str, by: str) -> View:
        """Start an ended run again; finished trials are not fitted again.

        Raises:
            NotFoundError: There is none.
            PreconditionError: ``run.not_resumable``.
        """
        return self._move(project, run_id, by, asked_to_resume, "run.resume", "asked to go on")

    def watch(self, project: str, run_id: str, after: int, active: Callable[[], bool]) -> Generator[Seen, None, None]:
        """Yield every point after a sequence, then new ones, until the run has ended or nobody listens.

        Raises:
            NotFoundError: There is no such run.
            ExhaustedError: ``watch.limit``: too many watch already.
        """
        self._check_project(project)
        with self._place():
            state = ""
            while active():
                heard = self._changed.count
                with self._records.transaction() as unit:
                    run = _found(unit, run_id)
                    points = unit.runs.points(run_id, after, _POINTS_AT_A_TIME)
                    view = _view(unit, run)
                for point in points:
                    after = point.sequence
                    last = point is points[-1] and run.last_sequence == after
                    new = last and run.state != state
                    state = run.state if new else state
                    yield Seen(point, view if new else None)
                if len(points) == _POINTS_AT_A_TIME:
                    continue
                if run.state != state:
                    state = run.state
                    yield Seen(None, view)
                if not run.open:
                    return
                self._changed.wait(heard, _LOOK_EVERY_S)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._watchers.acquire(blocking=False):
            message = f"{_MOST_WATCHERS} watch already: ask with GetRun, or try again"
            raise ExhaustedError(message, code="watch.limit", params={"limit": _MOST_WATCHERS})
        try:
            yield
        finally:
            self._watchers.release()

    def _move(self, project: str, run_id: str, by: str, move: Callable[[Run], Run], action: str, message: str) -> View:
        self._check_project(project)
        with self._records.transaction() as unit:
            before = _found(unit, run_id)
            after = move(before)
            if after != before:
                after = self._tell(unit, after, message)
                unit.audit(by, action, run_id)
            view = _view(unit, after)
        self._changed.ring()
        return view

    def _tell(self, unit: Unit, run: Run, message: str) -> Run:
        change = told(run, message, self._clock.now())
        if change.point is not None:
            unit.runs.add_point(run.run_id, change.point)
        return unit.runs.save(change.run)

    def _check_project(self, project: str) -> None:
        if project != self._project:
            message = f"there is no project {project[:80]!r}"
            raise NotFoundError(message, code="project.missing", params={"value": project[:80]})


def _found(unit: Unit, run_id: str) -> Run:
    run = unit.runs.get(run_id)
    if run is None:
        message = f"there is no run {run_id[:100]!r}"
        raise NotFoundError(message, code="run.missing", params={"run_id": run_id[:100]})
    return run


def _view(unit: Unit, run: Run) -> View:
    return View(run, tuple(unit.runs.trials(run.run_id)))
