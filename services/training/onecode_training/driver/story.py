"""Tell a run from its data to a proven file: prepare, search, convert, prove, measure."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from onecode_common.errors import InvalidError, OnecodeError
from onecode_common.objects import open_objects
from onecode_training.adapters import scores
from onecode_training.adapters.onnx_runs import Feeds, feeds_of, p95_us
from onecode_training.adapters.parquet_table import read_table
from onecode_training.adapters.proofs import answers_of
from onecode_training.adapters.recipe_text import require_recipe
from onecode_training.adapters.splitting import make_plan
from onecode_training.adapters.trial_task import Made, Question, compare, finish
from onecode_training.domain.budget import Measured, fits, nearest_miss, overruns
from onecode_training.domain.job import RAY_NOTE, TRIALS, Job
from onecode_training.domain.metric import choose_metric, positive_class
from onecode_training.domain.portfolio import Candidate, candidates
from onecode_training.domain.recipe import Recipe, refuse
from onecode_training.domain.run import Trial
from onecode_training.domain.table import choose_features, problems_with
from onecode_training.domain.tabledata import TableData, require_learnable
from onecode_training.domain.winner import ranked
from onecode_training.driver.cluster import Cluster, OpenCluster
from onecode_training.driver.shelf import Shelf
from onecode_training.driver.spool import Spool
from onecode_training.driver.wrapping import Finished, write_outcome

_SEARCH_BEGINS, _SEARCH_ENDS = 0.15, 0.8
_PROBE_ROWS = 32
BASELINE = 1
"""Number of the trivial baseline among the trials."""


class Story:
    """One attempt of a run.

    Args:
        job: What is asked.
        folder: Of the run; finished trials of earlier attempts are in it.
        spool: Hears everything.
        open_cluster: Makes the place where trials work.
    """

    def __init__(self, job: Job, folder: Path, spool: Spool, open_cluster: OpenCluster) -> None:
        self._job = job
        self._folder = folder
        self._spool = spool
        self._open_cluster = open_cluster
        self._shelf = Shelf(folder / TRIALS)
        self._trials: dict[int, Trial] = {}

    def tell(self) -> None:
        """Do all of it.

        Raises:
            OnecodeError: The run cannot give a version; the code says why.
        """
        self._spool.step("prepare", 0.02, f"attempt {self._job.attempt}: reading {self._job.dataset.rows} rows")
        question, names = self._prepare()
        # Everything that the data can be refused for comes before the seconds that Ray needs to start.
        self._spool.step("prepare", 0.08, "starting Ray" if not self._job.ray_address else "joining Ray")
        cluster = self._open_cluster(self._job.ray_address, self._job.ray_cpus, self._folder / RAY_NOTE)
        try:
            shared = cluster.share(question)
            made = self._search(cluster, shared, question)
            measured = self._measure(question, made)
            finished = self._finish(cluster, shared, question, measured)
        finally:
            cluster.close()
        outcome = write_outcome(self._folder, question, names, finished)
        message = f"trial {finished.candidate.number} ({finished.candidate.family}) is proven: {finished.bytes} bytes"
        self._spool.outcome(outcome, f"{message}, {finished.p95_us:.1f} µs")

    def _prepare(self) -> tuple[Question, tuple[str, ...]]:
        recipe, dataset = require_recipe(self._job.recipe), self._job.dataset
        refuse(problems_with(recipe, dataset))
        features = choose_features(recipe, dataset)
        data, notes = read_table(open_objects(self._job.datasets_url), dataset, features, recipe)
        require_learnable(data, features.numbers)
        for note in notes:
            self._spool.say(note)
        plan = make_plan(data, recipe)
        metric, positive = choose_metric(recipe, data.class_counts()), _positive(recipe, data)
        how = "one split" if plan.single else f"{len(plan.folds)} folds"
        split = f"{len(plan.fit)} rows to learn from ({how}), {len(plan.test)} held out; ranked by {metric}"
        self._spool.step("prepare", 0.06, split)
        question = Question(data, plan, recipe, metric, positive)
        self._baseline(question)
        return question, (*features.numbers, *features.texts)

    def _baseline(self, question: Question) -> None:
        data, plan = question.data, question.plan
        found = []
        for fitted, compared in plan.folds:
            guess = scores.trivial(data.target[fitted], len(compared), len(data.classes))
            found.append(scores.score(question.metric, data.target[compared], guess, question.positive))
        score = sum(found) / len(found)
        self._spool.facts(question.metric, score)
        kind = "always the mean" if data.is_regression else "always the shares of the classes"
        self._show(Trial(BASELINE, "baseline", state="done", score=score, reason=kind), f"trivial baseline {score:.4f}")

    def _search(self, cluster: Cluster, shared: object, question: Question) -> list[tuple[Candidate, Made]]:
        data = question.data
        inputs = data.numbers.shape[1] + sum(len(each) for each in data.categories)
        outputs = len(data.classes) if len(data.classes) > 2 else 1  # noqa: PLR2004 - two classes need one score
        listed = candidates(question.recipe, inputs, outputs)
        self._spool.step("search", _SEARCH_BEGINS, f"{len(listed)} candidates, {self._job.ray_cpus} at a time")
        done: list[tuple[Candidate, Made]] = []
        waiting: list[Candidate] = []
        for candidate in listed:
            trial = Trial(candidate.number, candidate.family, candidate.parameters_text())
            if candidate.ruled_out:
                self._show(replace(trial, state="ruled_out", reason=candidate.ruled_out))
                continue
            self._show(trial)
            earlier = self._shelf.find("compare", candidate)
            if earlier is None:
                waiting.append(candidate)
            else:
                done.append((candidate, earlier))
                self._tell(candidate, earlier, len(done) / len(listed), "taken over from an earlier attempt")
        for candidate, made, keep in cluster.each(compare, shared, waiting, self._job.ray_cpus, self._begin(question)):
            if keep:
                self._shelf.keep("compare", candidate, made)
            done.append((candidate, made))
            self._tell(candidate, made, len(done) / len(listed), question.metric)
        return [each for each in sorted(done, key=lambda pair: pair[0].number) if not each[1].reason]

    def _begin(self, question: Question) -> Callable[[Candidate], bool]:
        limit = question.recipe.search.max_seconds
        begun = time.monotonic()

        def begin(candidate: Candidate) -> bool:
            trial = self._trials[candidate.number]
            if limit is not None and time.monotonic() - begun > limit:
                reason = f"the search may take {limit:g} s, which had passed"
                self._show(replace(trial, state="ruled_out", reason=reason))
                return False
            self._show(replace(trial, state="running"))
            return True

        return begin

    def _tell(self, candidate: Candidate, made: Made, share: float, what: str) -> None:
        trial = replace(
            self._trials[candidate.number],
            state="failed" if made.reason else "done",
            score=made.score,
            score_std=made.error,
            bytes=len(made.content) or None,
            fit_seconds=made.seconds,
            reason=made.reason,
        )
        score = f"{made.score:.4f} ± {made.error or 0:.4f}" if made.score is not None else made.reason
        message = f"trial {candidate.number} ({candidate.family}): {score} ({what})"
        progress = _SEARCH_BEGINS + (_SEARCH_ENDS - _SEARCH_BEGINS) * share
        self._show(trial, message, progress, made.curve)

    def _measure(self, question: Question, made: list[tuple[Candidate, Made]]) -> list[tuple[Measured, Candidate]]:
        if not made:
            reasons = [trial.reason for trial in self._trials.values() if trial.state in ("failed", "ruled_out")]
            impossible = [trial for trial in self._trials.values() if trial.state == "ruled_out"]
            code = "budget.none_fits" if len(impossible) == len(self._trials) - 1 else "search.no_candidate"
            message = f"no candidate gave a file; the last said: {reasons[-1] if reasons else 'nothing'}"
            raise InvalidError(message, code=code)
        costs = p95_us([each.content for _, each in made], _probes(question))
        measured = []
        for (candidate, each), cost in zip(made, costs, strict=True):
            score, error = each.score or 0.0, each.error or 0.0
            one = Measured(candidate.number, candidate.family, score, error, len(each.content), cost)
            measured.append((one, candidate))
            over = overruns(question.recipe.budget, one.bytes, one.p95_us)
            state, reason = ("ruled_out", f"over the budget: {' and '.join(over)}") if over else ("done", "")
            self._show(replace(self._trials[candidate.number], p95_us=cost, state=state, reason=reason))
        baseline = self._trials[BASELINE].score or 0.0
        better = sum(one.score > baseline for one, _ in measured)
        told = (
            f"{better} are better than the trivial baseline" if better else "none is better than the trivial baseline"
        )
        self._spool.step("search", _SEARCH_ENDS, f"{len(measured)} files measured, {told}")
        return measured

    def _finish(
        self, cluster: Cluster, shared: object, question: Question, measured: list[tuple[Measured, Candidate]]
    ) -> Finished:
        budget, by_number = question.recipe.budget, {one.number: candidate for one, candidate in measured}
        refused = ""
        missed = [one for one, _ in measured if not fits(budget, one)]
        for one in ranked([one for one, _ in measured if fits(budget, one)]):
            candidate = by_number[one.number]
            self._spool.step("convert", 0.83, f"fitting trial {one.number} ({one.family}) on all but the held-out rows")
            made = self._final(cluster, shared, candidate)
            self._spool.step("parity", 0.89, made.reason or _agreement(made))
            if made.reason or made.parity is None:
                refused = refused or made.reason
                self._show(replace(self._trials[one.number], state="failed", reason=made.reason))
                continue
            cost = p95_us([made.content], _probes(question))[0]
            again = replace(one, bytes=len(made.content), p95_us=cost)
            self._spool.step("measure", 0.92, f"{again.bytes} bytes, {cost:.1f} µs CPU time for 95 of 100 calls")
            over = overruns(budget, again.bytes, cost)
            trial = replace(self._trials[one.number], bytes=again.bytes, p95_us=cost)
            if not over:
                self._show(trial)
                predicted = answers_of(made.content, question.data, question.plan.test)
                target = question.data.target[question.plan.test]
                metrics = scores.all_scores(target, predicted, question.positive)
                return Finished(candidate, made.content, made.parity, cost, metrics)
            self._show(replace(trial, state="ruled_out", reason=f"over the budget: {' and '.join(over)}"))
            missed.append(again)
        if missed:
            message = f"no candidate fits the budget: {nearest_miss(budget, missed, question.metric)}"
            raise InvalidError(message, code="budget.none_fits")
        raise OnecodeError(f"no file answers as its trained object does: {refused}", code="parity.failed")

    def _final(self, cluster: Cluster, shared: object, candidate: Candidate) -> Made:
        earlier = self._shelf.find("finish", candidate)
        if earlier is not None:
            return earlier
        for _, made, keep in cluster.each(finish, shared, [candidate], 1, lambda _candidate: True):
            if keep:
                self._shelf.keep("finish", candidate, made)
            return made
        return Made(reason="it was not begun")

    def _show(
        self, trial: Trial, message: str = "", progress: float = 0.0, curve: tuple[float, ...] | None = None
    ) -> None:
        self._trials[trial.number] = trial
        self._spool.trial(trial, message, progress, curve)


def _positive(recipe: Recipe, data: TableData) -> int | None:
    try:
        return positive_class(recipe, data.labels, data.class_counts())
    except KeyError as error:
        message = f"recipe: positive: {error.args[0]!r} is no class of the target: it has {', '.join(data.labels)}"
        params = {"path": "positive", "value": error.args[0]}
        raise InvalidError(message, code="recipe.invalid", params=params) from error


def _probes(question: Question) -> list[Feeds]:
    rows = question.plan.test[:_PROBE_ROWS]
    return [feeds_of(question.data.numbers, question.data.texts, slice(row, row + 1)) for row in rows]


def _agreement(made: Made) -> str:
    parity = made.parity
    if parity is None:
        return "no parity"
    return f"file and trained object agree on {parity.rows} rows: largest difference {parity.max_abs_delta:.1e}"
