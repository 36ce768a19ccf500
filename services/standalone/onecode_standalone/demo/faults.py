"""The story's dark half: models that must not come through, and a plant that loses its cloud."""

import json

import numpy as np
from numpy.typing import NDArray

from onecode_standalone.demo.broken_models import fail_on_rare_readings, scores_of, swap_scores
from onecode_standalone.demo.chapters import MODEL, SHARES, Story, claim_served, ended, file_digest, release
from onecode_standalone.demo.claims import Chapter
from onecode_standalone.demo.traffic import Traffic

_OFFLINE_REQUESTS = 400
_CONVICTING = 2
_CANARY_SHARE = SHARES[0] / 10_000


def wrong_model(story: Story, chapter: Chapter) -> None:
    """Import a model that answers wrongly; golden sets refuse it before it serves one request."""
    content = swap_scores(story.content["v2"])
    _import(story, "v3", content, "swapped-scores.onnx")
    with Traffic(MODEL, story.platform.grpc_servers(), story.readings.features, story.expected) as traffic:
        rollout = release(story, "v3", SHARES, "v3 must be refused")
    tally = traffic.tally
    chapter.claim("The release of v3 is rolled back", ended(rollout, "rolled_back"), rollout["state"])
    members = {member["source"]: f"{member['action']} ({member.get('cause', '')})" for member in rollout["members"]}
    refused = [source for source, action in members.items() if action == "rejected (golden)"]
    # Two refusals convict v3; whoever is slower than the verdict is told to leave it before it was tried.
    spared = [source for source, action in members.items() if action == "superseded ()"]
    chapter.claim(
        "Cloud and gateways refuse v3 by its golden set, or were spared by the verdict of the others",
        len(refused) >= _CONVICTING and len(refused) + len(spared) == 1 + story.platform.gateways,
        ", ".join(f"{source}: {action}" for source, action in sorted(members.items())),
    )
    chapter.claim(
        "v3 answers not one request",
        tally.answered[story.release("v3")] + tally.wrong.total() + tally.refused.total() == 0,
        f"{tally.requests:,} requests, all answered by {', '.join(f'release {name}' for name in tally.answered)}",
    )
    claim_served(story, chapter, "v2")
    chapter.facts["why"] = rollout.get("sentence", "")


def silent_fault(story: Story, chapter: Chapter) -> None:
    """Import a model that fails on rare readings only; the canary finds it and rolls back by itself."""
    golden = _golden_readings(story)
    probes = np.concatenate([np.zeros((1, 9)), np.ones((1, 9))]).astype(np.float32)
    fault = fail_on_rare_readings(story.content["v2"], story.readings.features, golden, probes)
    _import(story, "v4", fault.content, "division-by-zero.onnx")
    story.expected[story.release("v4")] = scores_of(fault.content, story.readings.features)
    with Traffic(MODEL, story.platform.grpc_servers(), story.readings.features, story.expected) as traffic:
        rollout = release(story, "v4", SHARES, "v4 must be found out")
    tally = traffic.tally
    count = rollout.get("candidate_count", {})
    requests, errors = int(count.get("requests", 0)), int(count.get("errors", 0))
    chapter.claim("The canary rolls v4 back by itself", ended(rollout, "rolled_back"), rollout["state"])
    chapter.claim("No wrong answer reaches anybody", tally.wrong.total() == 0, f"{tally.requests:,} requests")
    chapter.claim(
        "Only users of the canary share see an error",
        0 < tally.refused.total() < tally.requests * _CANARY_SHARE,
        f"{tally.refused.total()} of {tally.requests:,} requests, {errors} bad events of {requests} canary requests",
    )
    claim_served(story, chapter, "v2")
    chapter.facts["fault"] = (
        f"sensor {fault.sensor + 1} between {fault.above:g} and {fault.below:g}: {fault.share:.1%} of the readings"
    )
    chapter.facts["found after"] = f"{requests} canary requests, {errors} of them bad"
    chapter.facts["why"] = rollout.get("sentence", "")


def cut_off(story: Story, chapter: Chapter) -> None:
    """Stop the bus and the registry: predictions go on, and the reports arrive later, each once."""
    platform = story.platform
    before = platform.settled_count(MODEL)
    platform.process("stop", "nats")
    platform.process("stop", "registry")
    gateways = [server.grpc for server in platform.servers() if server.name != "cloud"]
    with Traffic(MODEL, gateways, story.readings.features, story.expected) as traffic:
        platform.wait(lambda: traffic.tally.requests >= _OFFLINE_REQUESTS, "predictions without the cloud", 60)
    tally = traffic.tally
    chapter.claim(
        "Gateways answer without the cloud",
        tally.answered.total() == tally.requests,
        f"{tally.answered.total():,} of {tally.requests:,} right",
    )
    platform.process("start", "registry")
    platform.process("start", "nats")
    wanted = before + tally.requests
    platform.wait(lambda: platform.count(MODEL) >= wanted, "reports of the time without the cloud", 90)
    after = platform.settled_count(MODEL)
    chapter.claim(
        "Each report of that time arrives, once", after == wanted, f"{after - before:,} of {tally.requests:,}"
    )
    claim_served(story, chapter, "v2")


def _import(story: Story, name: str, content: bytes, source: str) -> None:
    digest = story.platform.put_object(content)
    version = story.platform.import_version(
        MODEL, f"demo-{name}-{story.platform.run_mark}", digest, story.digest("v2"), source
    )
    story.versions[name] = version


def _golden_readings(story: Story) -> NDArray[np.float32]:
    lines = story.platform.file(file_digest(story.versions["v2"], "golden.jsonl")).splitlines()[1:]
    rows = [json.loads(line)["inputs"][0]["data"] for line in lines]
    filled = [[0.0 if value is None else float(value) for value in row] for row in rows]
    return np.array(filled, np.float32)
