"""A small plant for the console's tests: data, runs, models, releases in several states, gateways."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from onecode.ingestion.v1 import ingestion_pb2 as ing
from onecode.registry.v1 import registry_pb2 as reg
from onecode.rollout.v1 import rollout_pb2 as ro
from onecode.training.v1 import training_pb2 as tr

NOW = datetime.now(UTC)
DATA = f"sha256:{'d' * 64}"
V1, V2 = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def ago(message: Any, field: str, **delta: float) -> None:
    """Set a time of a message to that long before now."""
    getattr(message, field).FromDatetime(NOW - timedelta(**delta))


def data_version(number: int = 2) -> ing.Version:
    """Return a version of the data set ``shuttle`` with findings."""
    version = ing.Version(
        version_id=DATA if number == 2 else f"sha256:{'e' * 64}",
        dataset="shuttle",
        number=number,
        rows=49_097,
        dropped_rows=3,
        created_by="token:admin",
        project="default",
        bytes=913_408,
    )
    ago(version, "created", hours=3 * (3 - number))
    for index in range(1, 10):
        version.schema.columns.add(name=f"sensor_{index}", type=ing.COLUMN_TYPE_INTEGER, nullable=index == 3)
    version.schema.columns.add(name="state", type=ing.COLUMN_TYPE_TEXT)
    version.schema.target = "state"
    version.findings.add(code="data.ragged", severity="warning", count=3, rows=[1204, 2210, 40112])
    version.findings.add(code="data.duplicates", severity="info", count=118)
    version.findings.add(code="data.bad_cells", severity="warning", column="sensor_3", count=37)
    version.findings.add(code="data.new_rule", severity="info", detail="100% of something <b>new</b>")
    return version


def profile() -> ing.Profile:
    """Return its profile: bell-shaped sensors and a rare class."""
    found = ing.Profile(version_id=DATA, rows=49_097, duplicate_rows=118)
    found.class_balance.add(value="normal", count=45_586)
    found.class_balance.add(value="anomaly", count=3_511)
    for index in range(1, 10):
        column = found.columns.add(name=f"sensor_{index}", type=ing.COLUMN_TYPE_INTEGER, distinct=77 + index)
        column.missing = 37 if index == 3 else 0
        column.min, column.max, column.mean, column.std = 20.0 + index, 126.0, 48.25 + index, 12.0 + index / 7
        column.quantiles["0.5"] = 45.0 + index
        for bin_ in range(24):
            height = math.exp(-(((bin_ - 5 - index) / 5.5) ** 2))
            low = 20.0 + index + bin_ * 4.4
            column.histogram.add(low=low, high=low + 4.4, count=int(8_000 * height))
    text = found.columns.add(name="state", type=ing.COLUMN_TYPE_TEXT, distinct=2)
    text.top_values.add(value="normal", count=45_586)
    text.top_values.add(value="anomaly", count=3_511)
    text.examples.extend(["normal", "anomaly"])
    return found


def rows(offset: int, limit: int) -> ing.ListRowsResponse:
    """Return a page of rows; every seventh value of the third column is missing."""
    answer = ing.ListRowsResponse(columns=[f"sensor_{index}" for index in range(1, 10)] + ["state"], total=49_097)
    for number in range(offset, min(offset + limit, 49_097)):
        row = answer.rows.add()
        for index in range(1, 10):
            cell = row.cells.add()
            if not (index == 3 and number % 7 == 0):
                cell.text = str(30 + (number * index) % 90)
        row.cells.add(text="normal")
    return answer


def run(run_id: str, state: int, stage: str, progress: float) -> tr.Run:
    """Return a training run with ten trials, as far as its state allows."""
    recipe = {"task": "tabular-classification", "target": "state", "budget": {"max_bytes": 200_000, "max_p95_us": 100}}
    one = tr.Run(run_id=run_id, project="default", state=state, dataset_version=DATA, recipe=json.dumps(recipe))
    one.model, one.stage, one.progress, one.metric, one.attempt = "shuttle", stage, progress, "average_precision", 1
    one.baseline_score = 0.0715
    ago(one, "created", minutes=14)
    ago(one, "started", minutes=13)
    families = ("linear", "lightgbm", "mlp")
    for number in range(1, 11):
        family = families[number % 3]
        trial = one.trials.add(number=number, family=family, parameters=json.dumps({"l2": 0.1 * number, "depth": 6}))
        if progress < 1 and number > 6:
            trial.state = "running" if number == 7 else "waiting"
            continue
        trial.state, trial.score, trial.score_std = "done", 0.9 + 0.095 * (1 - 1 / number), 0.004
        trial.bytes, trial.p95_us, trial.fit_seconds = 9_000 * number, 11.0 * number, 0.8 * number
        if number == 9:
            trial.state, trial.reason = "ruled_out", "99.0 µs p95 is over 90 % of the budget"
    one.best_score = max(trial.score for trial in one.trials)
    if state == tr.RUN_STATE_SUCCEEDED:
        one.winner, one.model_digest, one.model_release = 8, V2, 2
        one.parity.CopyFrom(tr.Parity(rows=512, max_abs_delta=3.1e-7, label_agreement=1.0, tolerance=1e-4, passed=True))
        one.test_metrics.update({"average_precision": 0.9912, "roc_auc": 0.9987, "balanced_accuracy": 0.9831})
        ago(one, "finished", minutes=10)
    if state == tr.RUN_STATE_FAILED:
        one.error_code, one.error = (
            "budget.none_fits",
            "no candidate fits ≤ 20 kB: nearest is lightgbm, 31 kB, 100% sure",
        )
    return one


def runs() -> list[tr.Run]:
    """Return runs in four states."""
    return [
        run("r_now", tr.RUN_STATE_RUNNING, "search", 0.45),
        run("r_done", tr.RUN_STATE_SUCCEEDED, "done", 1.0),
        run("r_failed", tr.RUN_STATE_FAILED, "measure", 0.8),
        run("r_cut", tr.RUN_STATE_INTERRUPTED, "search", 0.3),
    ]


def model_version(release: int) -> reg.Version:
    """Return a version of the model ``shuttle``."""
    version = reg.Version(project="default", model="shuttle", release=release, digest=V1 if release == 1 else V2)
    version.files.add(name="model.onnx", sha256="a" * 64, length=48_211 * release)
    version.metrics.update({"average_precision": 0.95 + 0.02 * release})
    version.golden_rows, version.p95_us, version.state = 64, 21.5 * release, "ready"
    version.aliases.append("champion" if release == 1 else "challenger")
    ago(version, "created", hours=3 - release)
    return version


def rollout(rollout_id: str, state: str, reason: str, bad: float, *, steps: int = 3) -> ro.Rollout:
    """Return a release of version 2 after 60 intervals; ``bad`` is the candidate's share of bad answers."""
    one = ro.Rollout(rollout_id=rollout_id, project="default", state=state, reason=reason, stable=V1)
    one.plan.model, one.plan.candidate = "shuttle", V2
    one.plan.segments.extend(["cloud", "line-1"])
    for share in (1000, 5000, 10_000)[:steps]:
        one.plan.steps.add(share=share, min_observe_seconds=600)
    one.stable_release, one.candidate_release, one.generation, one.revision = 1, 2, 12, 3
    one.created_by = "admin"
    ago(one, "created", minutes=75)
    ago(one, "started", minutes=70)
    one.threshold_rollback, one.threshold_promote, one.threshold_floor = math.log(20), math.log(200), math.log(200)
    one.estimate.requests_to_promote, one.estimate.traffic_can_pay = 11_000, True
    for index in range(60):
        requests = 150 * (index + 1)
        errors = int(requests * bad)
        worse = min(4.2, (bad - 0.005) * requests * 0.14) if bad > 0.01 else -0.0006 * requests
        one.evidence.add(
            candidate_requests=requests,
            candidate_errors=errors,
            stable_requests=requests * 9,
            stable_errors=int(requests * 9 * 0.0048),
            log_e_worse=worse + math.sin(index) * 0.15,
            log_e_better=-worse * 0.9 + math.cos(index) * 0.1,
            log_e_floor=-1.0 + index * 0.01,
            step=min(steps - 1, index // 25),
        )
    last = one.evidence[-1]
    one.step = last.step
    one.candidate_count.requests, one.candidate_count.errors = last.candidate_requests, last.candidate_errors
    one.candidate_count.non_finite = last.candidate_errors
    one.stable_count.requests, one.stable_count.errors = last.stable_requests, last.stable_errors
    one.sentence = f"{state}: {last.candidate_requests} candidate requests, {last.candidate_errors} bad."
    for name, action in (("cloud", "committed"), ("gw-1", "probation"), ("gw-2", "downloading"), ("gw-3", "lost")):
        member = one.members.add(source=name, segment="cloud" if name == "cloud" else "line-1", action=action)
        member.served_digest = V2 if action in ("committed", "probation") else V1
        ago(member, "last_heard", seconds=20 if name != "gw-3" else 9000)
    one.next_actions.extend(ACTIONS.get(state, ()))
    return one


ACTIONS = {
    "running": ("pause", "promote", "rollback", "abort"),
    "paused": ("resume", "promote", "rollback", "abort"),
    "awaiting_approval": ("approve", "cancel"),
}


def rollouts() -> list[ro.Rollout]:
    """Return releases in five states, and one in shadow."""
    succeeded = rollout("r_first", "succeeded", "", 0.004)
    ago(succeeded, "finished", minutes=5)
    back = rollout("r_back", "rolled_back", "errors", 0.031)
    ago(back, "finished", minutes=9)
    fresh = ro.Rollout(rollout_id="r_fresh", project="default", state="awaiting_approval", created_by="admin")
    fresh.plan.model, fresh.plan.candidate = "shuttle", V2
    fresh.next_actions.extend(ACTIONS["awaiting_approval"])
    return [
        rollout("r_live", "running", "", 0.0046),
        rollout("r_held", "paused", "no_data", 0.0046),
        back,
        succeeded,
        fresh,
        in_shadow(),
    ]


def in_shadow() -> ro.Rollout:
    """Return a release whose candidate answers nobody yet."""
    one = ro.Rollout(rollout_id="r_shadow", project="default", state="running", stable=V1, created_by="admin")
    one.plan.model, one.plan.candidate, one.plan.shadow_seconds = "shuttle", V2, 600
    one.plan.segments.append("cloud")
    one.plan.steps.add(share=1000)
    one.stable_release, one.candidate_release = 1, 2
    ago(one, "started", minutes=4)
    one.stable_count.requests = 9000
    one.shadow.pairs, one.shadow.different, one.shadow.failed, one.shadow.dropped = 120, 7, 0, 8880
    one.shadow.largest_difference, one.shadow.running, one.shadow.needed_pairs = 0.3125, True, 200
    one.next_actions.extend(ACTIONS["running"])
    return one


def decisions() -> list[ro.Decision]:
    """Return the decisions of a release, oldest first."""
    told = [
        ("start", "scheduled", "running", "operator", "admin", "Started at 10 % of requests."),
        ("widen", "running", "running", "errors.gate", "rule", "Step 1 passed after 1,016 requests: 50 %."),
        ("rollback", "running", "rolling_back", "errors.worse", "rule", "31 of 1,002 requests were bad: odds 21 : 1."),
    ]
    made = []
    for number, (kind, before, after, rule, by, sentence) in enumerate(told, 1):
        one = ro.Decision(number=number, kind=kind, from_state=before, to_state=after, rule=rule, by=by)
        one.sentence, one.record, one.signature = sentence, '{"candidate":[1002,31]}', "c2ln"
        one.replay_agrees = number != 1
        ago(one, "time", minutes=60 - 15 * number)
        made.append(one)
    return made


def gateways() -> list[ro.Gateway]:
    """Return a fleet with one silent, one drifting, one sick and one that never came."""
    made = []
    for index in range(1, 13):
        one = ro.Gateway(gateway_id=f"gw-{index}", project="default", name=f"gw-{index}", state="active")
        one.segment, one.agent_version, one.health = f"line-{1 + index % 2}", "0.1.0", "ok"
        one.serving["shuttle"], one.desired["shuttle"] = V1, V1
        one.rss_bytes, one.outbox, one.generation = 131_000_000 + index * 100_000, index % 3, 12
        ago(one, "last_heard", seconds=5 * index)
        made.append(one)
    made[2].stale, made[2].outbox = True, 412
    ago(made[2], "last_heard", minutes=14)
    made[4].desired["shuttle"] = V2
    made[5].health = "golden cases fail"
    silent = ro.Gateway(gateway_id="gw-new", project="default", name="gw-new", state="pending", segment="line-1")
    return [*made, silent]
