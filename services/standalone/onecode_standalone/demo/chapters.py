"""The story up to a good release: dirty readings become a model, and a better one takes its place step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from onecode_standalone.demo.agreement import compare_with_runtime
from onecode_standalone.demo.broken_models import scores_of
from onecode_standalone.demo.claims import Chapter, StoryFailedError
from onecode_standalone.demo.platform import Platform
from onecode_standalone.demo.readings import TARGET, Readings
from onecode_standalone.demo.traffic import Traffic

MODEL = "shuttle"
DATASET = "shuttle-readings"
BUDGET = {"max_bytes": 200_000, "max_p95_us": 100}
SEGMENTS = ("cloud", "line-1")
FAMILIES = ("linear", "lightgbm", "mlp")
SHARES = (1_000, 5_000, 10_000)
_REPORTS_S = 15.0
"""Reports and the alias follow a decision within their intervals."""
PRESET = {
    # Shorter times and nothing else: what is believed, and when, is decided by the defaults.
    "name": "demo",
    "min_observe_seconds": 3,
    "probation_seconds": 3,
    "interval_seconds": 1,
    "poll_seconds": 2,
    "report_seconds": 1,
    "no_data_after_seconds": 60,
    "limit_seconds": 600,
    "lost_after_seconds": 60,
}


@dataclass(slots=True)
class Story:
    """What later chapters need of earlier ones.

    Attributes:
        platform: The running platform.
        readings: What was written and kept back.
        version_id: The committed data-set version.
        versions: Model versions as the REST API gives them, by name in the story ("v1", "v2", …).
        expected: Scores of ONNX Runtime in this process on the held-out rows, by release as text.
        content: ONNX files by name in the story.
        rollouts: Finished rollouts by name in the story.
        precision: Average precision on the held-out rows by name in the story.
    """

    platform: Platform
    readings: Readings
    version_id: str = ""
    versions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    expected: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    rollouts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    precision: dict[str, float] = field(default_factory=dict)

    def digest(self, name: str) -> str:
        """Return the digest of a version of the story."""
        return str(self.versions[name]["digest"])

    def release(self, name: str) -> str:
        """Return the release number of a version of the story, as text."""
        return str(self.versions[name]["release"])


def upload_and_commit(story: Story, chapter: Chapter) -> None:
    """Upload the readings through a cut connection, look at the findings, commit them."""
    platform, readings = story.platform, story.readings
    upload = platform.upload_with_a_cut(readings.path)
    chapter.claim(
        "A cut upload goes on where it was",
        0 < upload.resumed_at < upload.length,
        f"cut and resumed at byte {upload.resumed_at:,} of {upload.length:,}",
    )
    preview = platform.preview(upload.upload_id, {"target": TARGET})
    found = {str(finding["code"]): int(finding["count"]) for finding in preview["findings"]}
    chapter.claim(
        "The preview counts the rows with one value too many",
        found.get("data.ragged") == readings.ragged,
        f"{found.get('data.ragged')} of {readings.ragged}",
    )
    options = {
        "target": TARGET,
        "ragged_rows": "RAGGED_ROWS_DROP",
        "bad_cells": "BAD_CELLS_MISSING",
        "columns": [{"name": "sensor_3", "type": "COLUMN_TYPE_FLOAT"}],
    }
    version = platform.commit(upload.upload_id, DATASET, options)
    again = platform.commit(upload.upload_id, DATASET, options)
    story.version_id = str(version["version_id"])
    cells = sum(int(finding["count"]) for finding in version["findings"] if finding["code"] == "data.bad_cells")
    chapter.claim(
        "Every good row is committed", int(version["rows"]) == readings.rows, f"{int(version['rows']):,} rows"
    )
    chapter.claim(
        "Dirty rows are dropped and counted, dirty cells become missing and are counted",
        int(version["dropped_rows"]) == readings.ragged and cells == readings.bad_cells,
        f"{version['dropped_rows']} rows, {cells} cells",
    )
    chapter.claim("Committing the same again gives the same version", again["version_id"] == version["version_id"])
    profile = platform.profile(story.version_id)
    chapter.facts["data-set version"] = story.version_id[:19]
    chapter.facts["duplicate rows"] = profile["duplicate_rows"]
    chapter.facts["classes"] = ", ".join(f"{entry['value']}: {entry['count']}" for entry in profile["class_balance"])


def train(story: Story, chapter: Chapter, name: str, preset: str, families: tuple[str, ...]) -> None:
    """Train and register a model within the budget; judge its file on rows that nobody has seen."""
    platform = story.platform
    recipe = {
        "task": "tabular-classification",
        "target": TARGET,
        "budget": BUDGET,
        "search": {"preset": preset, "families": list(families)},
        "seed": 7 if name == "v1" else 8,
    }
    run = platform.train(f"demo-{name}-{platform.run_mark}", story.version_id, recipe, MODEL, f"training {name}")
    if run["state"] != "RUN_STATE_SUCCEEDED":
        raise StoryFailedError(f"training of {name} ended {run['state']}: {run.get('error', '')}")
    version = platform.version(MODEL, int(run["model_release"]))
    story.versions[name] = version
    content = platform.file(file_digest(version, "model.onnx"))
    story.content[name] = content
    story.expected[story.release(name)] = scores_of(content, story.readings.features)
    average_precision = float(average_precision_score(story.readings.labels, story.expected[story.release(name)][:, 1]))
    parity = run["parity"]
    p95 = float(version.get("p95_us", 0.0))
    chapter.claim(
        f"{name} fits the budget of {BUDGET['max_bytes'] // 1000} kB and {BUDGET['max_p95_us']} µs",
        len(content) <= BUDGET["max_bytes"] and 0 < p95 <= BUDGET["max_p95_us"],
        f"{len(content) / 1000:.1f} kB, {p95:.1f} µs",
    )
    chapter.claim(
        "The ONNX file answers as the trained object does",
        parity["passed"],
        f"max |Δ| {float(parity.get('max_abs_delta', 0)):.1e} on {parity.get('rows', 0)} rows",
    )
    story.precision[name] = average_precision
    if "v1" in story.precision and name != "v1":
        chapter.claim(
            f"{name} judges unseen readings better than v1",
            average_precision > story.precision["v1"],
            f"average precision {story.precision['v1']:.4f} → {average_precision:.4f}",
        )
    chapter.facts[f"average precision of {name} on held-out rows"] = round(average_precision, 5)
    chapter.facts[f"{name}"] = f"release {story.release(name)}, {story.digest(name)[:19]}"


def first_release(story: Story, chapter: Chapter) -> None:
    """Release v1 to the cloud and all gateways, and compare their answers with ONNX Runtime's."""
    rollout = release(story, "v1", SHARES[-1:], "first release")
    chapter.claim(
        "The first release succeeds on golden set and probation", ended(rollout, "succeeded"), rollout["state"]
    )
    claim_served(story, chapter, "v1")
    champion = story.platform.eventually(
        lambda: story.platform.alias(MODEL, "champion"), lambda seen: seen == story.digest("v1"), _REPORTS_S
    )
    chapter.claim("v1 is the champion", champion == story.digest("v1"))
    agreement = compare_with_runtime(
        MODEL,
        story.platform.servers(),
        story.readings.features,
        story.expected[story.release("v1")],
        story.platform.patience_s,
    )
    chapter.claim(
        "Stock clients get ONNX Runtime's numbers from cloud and gateways, over gRPC and HTTP",
        agreement.differences == 0 and agreement.answers > 0,
        f"{agreement.answers:,} answers from {agreement.faces} faces, {agreement.differences} differ",
    )


def canary(story: Story, chapter: Chapter) -> None:
    """Release v2 to 10, 50 and 100 % of the requests under traffic, until the evidence promotes it."""
    with Traffic(MODEL, story.platform.grpc_servers(), story.readings.features, story.expected) as traffic:
        rollout = release(story, "v2", SHARES, "canary of v2")
    tally = traffic.tally
    chapter.claim("The evidence promotes v2", ended(rollout, "succeeded"), rollout["state"])
    claim_served(story, chapter, "v2")
    chapter.claim(
        "No answer is wrong and no request is refused while versions change",
        tally.wrong.total() == tally.refused.total() == 0 and tally.requests > 0,
        f"{tally.requests:,} requests, {tally.wrong.total()} wrong, {tally.refused.total()} refused"
        + "".join(f"; {count} × {text}" for text, count in tally.refused.items()),
    )
    for decision in story.platform.decisions(str(rollout["rollout_id"])):
        chapter.facts[f"decision {decision['number']}: {decision['kind']}"] = decision["sentence"]
    chapter.claim(
        "Every decision replays from its record to the same verdict",
        all(decision["replay_agrees"] for decision in story.platform.decisions(str(rollout["rollout_id"]))),
    )


def release(story: Story, name: str, shares: tuple[int, ...], title: str) -> Mapping[str, Any]:
    """Release a version to cloud and gateways, wait until the rollout has ended, and return it."""
    plan = {
        "model": MODEL,
        "candidate": story.digest(name),
        "segments": list(SEGMENTS),
        "unit": "UNIT_REQUEST",
        "steps": [{"share": share} for share in shares],
        "preset": PRESET,
        "metrics": [{"metric": "errors", "must_pass": True, "on_bad": "rollback"}],
    }
    rollout: Mapping[str, Any] = story.platform.release(f"demo-{name}-{story.platform.run_mark}", plan, title)
    story.rollouts[name] = rollout
    return rollout


def claim_served(story: Story, chapter: Chapter, name: str) -> None:
    """Claim that every server's own report names the digest of this version."""
    platform = story.platform
    served = platform.eventually(
        lambda: platform.served(MODEL), lambda seen: set(seen.values()) == {story.digest(name)}, _REPORTS_S
    )
    good = [source for source, digest in served.items() if digest == story.digest(name)]
    chapter.claim(
        f"Cloud and gateways report that they serve {name}",
        len(good) == len(served) == 1 + platform.gateways,
        f"{len(good)} of {len(served)}: {', '.join(sorted(good))}",
    )


def ended(rollout: Mapping[str, Any], state: str) -> bool:
    """Return whether the rollout is in this state."""
    return str(rollout["state"]).lower() == state


def file_digest(version: Mapping[str, Any], name: str) -> str:
    """Return the hex digest of a version's file.

    Raises:
        StoryFailedError: The version has no such file.
    """
    for file in version["files"]:
        if file["name"] == name:
            return str(file["sha256"])
    raise StoryFailedError(f"version {version.get('release')} has no file {name}")
