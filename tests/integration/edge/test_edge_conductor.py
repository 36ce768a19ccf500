"""The gateway's state machine: what each event leads to, and what a cut at any step leaves."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_bench import Bench
from signed_repository import arm, model

from onecode_common.errors import OnecodeError, PreconditionError
from onecode_edge.adapters.journal import Journal
from onecode_edge.adapters.sets import Sets
from onecode_edge.domain.observed import Observed
from onecode_edge.seal import read_seal

FULL = ["downloading", "verified", "staged", "switching", "probation", "committed"]


@pytest.fixture
def bench(quick_path: Path) -> Iterator[Bench]:
    made = Bench(quick_path / "gateway")
    yield made
    assert made.database is not None
    made.database.close()


def test_a_version_goes_through_every_state_and_success_names_what_is_served(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    assert bench.states(bench.one) == FULL
    last = bench.actions()[-1]
    assert (last.served_digest, last.evidence, last.revision) == (bench.one, "golden", 1)
    links = {name: bench.sets.linked_id(name) for name in ("current", "committed", "previous")}
    assert links["current"] == links["committed"]
    assert links["previous"] == ""


def test_new_shares_restart_no_process_and_begin_no_change(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.split(1_000, bench.two)
    bench.committed()
    started = list(bench.processes.started)
    bench.split(5_000, bench.two, revision=2)
    bench.run(2)
    assert bench.served() == {"shuttle": {bench.two: 5_000, bench.one: 5_000}}
    assert bench.processes.started == started
    assert bench.states(bench.two) == FULL
    seal = read_seal(bench.layout, bench.sets.linked_id("current"))
    assert seal.models.entries[0].arms[0].end == 5_000, "a restart without the cloud divides alike"


def test_a_revision_that_asks_for_what_is_served_is_answered_once(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    for _ in range(2):
        bench.all_to(1, bench.one, revision=7)
        bench.run(3)
    told = [action for action in bench.actions() if action.revision == 7]
    assert [(action.state, action.served_digest) for action in told] == [("committed", bench.one)]


@pytest.mark.parametrize("cause", ["golden", "load", "memory", "nan_on_probe"])
def test_a_version_that_fails_its_trial_is_never_served_nor_tried_again(bench: Bench, cause: str) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.refuse[bench.two] = cause
    bench.split(5_000, bench.two)
    bench.run()
    assert bench.states(bench.two) == ["downloading", "verified", "rejected"]
    assert bench.served() == {"shuttle": {bench.one: 10_000}}
    bench.split(6_000, bench.two, revision=2)
    bench.run()
    bench.all_to(2, bench.two)
    bench.run()
    assert bench.states(bench.two) == ["downloading", "verified", "rejected", "refused"]
    assert bench.served() == {"shuttle": {bench.one: 10_000}}, "without another version the present one goes on"


@pytest.mark.parametrize(
    ("seen", "cause"),
    [(Observed(3, 3, 3), "non_finite"), (Observed(4, 3, 0), "errors"), (Observed(100, 10, 0), "errors")],
)
def test_a_version_in_probation_that_misbehaves_is_taken_back(bench: Bench, seen: Observed, cause: str) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.split(5_000, bench.two, probation_s=600)
    bench.run(6)
    assert bench.states(bench.two)[-1] == "probation"
    bench.processes.behave[bench.two] = seen
    bench.committed()
    back = bench.actions()[-1]
    assert (back.state, back.cause, back.served_digest) == ("rolled_back", cause, bench.one)
    assert bench.served() == {"shuttle": {bench.one: 10_000}}
    assert bench.journal.bad() == {bench.two: cause}


@pytest.mark.parametrize("seen", [Observed(2, 2, 0), Observed(100, 5, 0), Observed(1000, 2, 2)])
def test_little_evidence_convicts_nobody(bench: Bench, seen: Observed) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.split(5_000, bench.two)
    bench.processes.behave[bench.two] = seen
    bench.committed()
    assert bench.states(bench.two) == FULL
    assert next(a.evidence for a in bench.actions() if a.state == "committed" and a.digest == bench.two) == "traffic"


@pytest.mark.parametrize("cause", ["golden", "load"])
def test_a_version_that_cannot_be_proven_where_it_serves_goes_back(bench: Bench, cause: str) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.processes.fail[bench.two] = cause
    bench.all_to(2, bench.two)
    bench.committed()
    assert bench.states(bench.two) == [*FULL[:4], "rolled_back"]
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_a_version_that_answers_wrong_at_the_end_of_probation_goes_back(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.all_to(2, bench.two, probation_s=5)
    bench.run(6)
    bench.processes.wrong.add(bench.two)
    bench.committed()
    assert bench.actions()[-1].cause == "golden"
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_the_third_start_without_a_commit_goes_back_and_is_counted_before_it_is_made(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.all_to(2, bench.two, probation_s=600)
    bench.run(6)
    for starts in (1, 2):
        bench.restart()
        bench.turn()
        transition = bench.situation.transition
        assert transition is not None
        assert (transition.state, transition.starts) == ("probation", starts)
    bench.restart()
    bench.committed()
    assert (bench.states(bench.two)[-1], bench.actions()[-1].cause) == ("rolled_back", "crash")
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_a_restart_of_what_decides_alone_counts_no_start_and_keeps_the_time_served(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.all_to(2, bench.two, probation_s=60)
    bench.run(30)
    before = bench.situation.transition
    assert before is not None
    bench.restart(alive=True)
    bench.turn()
    after = bench.situation.transition
    assert after is not None
    assert (after.state, after.starts) == ("probation", 0)
    assert after.serving_s > before.serving_s - 6


def test_a_newer_policy_takes_over_before_the_switch_and_waits_after_it(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.all_to(2, bench.two)
    bench.turn()
    bench.all_to(3, bench.three, probation_s=5)
    bench.run(6)
    assert bench.states(bench.two) == ["downloading", "verified", "superseded"]
    assert bench.states(bench.three)[-1] == "probation"
    arms = arm(0, 5_000, 2, bench.two, "candidate"), arm(5_000, 10_000, 3, bench.three)
    bench.publish(model("shuttle", bench.generation + 1, *arms))
    bench.turn()
    assert bench.states(bench.three)[-1] == "probation", "a half-proven version is proven first"
    bench.committed()
    assert bench.states(bench.three)[-1] == "committed"
    bench.committed()
    assert bench.states(bench.two)[-1] == "committed"


def test_a_policy_that_takes_the_version_back_ends_its_probation_at_once(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.split(5_000, bench.two, probation_s=600)
    bench.run(6)
    bench.all_to(1, bench.one)
    bench.committed()
    assert bench.states(bench.two)[-1] == "superseded"
    assert bench.states(bench.one)[-1] == "committed"
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_a_hold_begins_no_switch_and_an_end_of_it_does(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.all_to(2, bench.two, hold=True)
    bench.run()
    assert bench.states(bench.two) == []
    bench.all_to(2, bench.two)
    bench.committed()
    assert bench.states(bench.two) == FULL


def test_a_process_that_only_dies_is_left_alone_for_a_while_and_then_tried_again(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    for _ in range(3):
        bench.run(6)
        bench.processes.die()
    bench.run(4)
    assert bench.served() == {}
    assert bench.conductor.unready() == "safe mode: what is to be served ended too often"
    bench.turn(70.0)
    bench.run(2)
    assert bench.served() == {"shuttle": {bench.one: 10_000}}
    assert bench.conductor.unready() is None
    assert bench.journal.bad() == {}


def test_an_operator_goes_back_until_a_newer_revision_comes(bench: Bench) -> None:
    with pytest.raises(PreconditionError):
        bench.conductor.roll_back("nothing there")
    bench.all_to(1, bench.one)
    bench.committed()
    bench.all_to(2, bench.two)
    bench.committed()
    bench.conductor.roll_back("sounds wrong")
    bench.committed()
    assert bench.served() == {"shuttle": {bench.one: 10_000}}
    bench.restart()
    bench.run()
    assert bench.served() == {"shuttle": {bench.one: 10_000}}, "also after a restart"
    assert bench.journal.bad() == {}
    bench.all_to(2, bench.two)
    bench.committed()
    assert bench.served() == {"shuttle": {bench.two: 10_000}}


def test_by_gateway_each_one_serves_the_one_arm_that_it_falls_into(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.split(1, bench.two, unit="gateway")
    bench.run()
    assert bench.served() == {"shuttle": {bench.one: 10_000}}
    bench.split(9_999, bench.two, unit="gateway", revision=2)
    bench.run(20)
    assert bench.served() == {"shuttle": {bench.two: 10_000}}


class CutError(BaseException):
    """The power went away; nothing may catch it."""


STEPS: list[tuple[Any, str]] = [
    (Sets, "seal"), (Sets, "switch"), (Sets, "commit"), (Sets, "go_back"),
    (Journal, "begin"), (Journal, "keep"), (Journal, "advance"), (Journal, "tell"),
]  # fmt: skip
LINKS = ["onecode_edge.adapters.sets.point", "onecode_edge.adapters.sets.write_seal"]


def cut_at(patch: pytest.MonkeyPatch, number: int, *, after: bool) -> list[str]:
    """Cut the power before or after the n-th durable step; return the list in which steps are noted."""
    seen: list[str] = []

    def wrapped(original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            seen.append(name)
            mine = len(seen)
            if mine == number and not after:
                raise CutError(name)
            result = original(*arguments, **named)
            if mine == number:
                raise CutError(name)
            return result

        return step

    for owner, name in STEPS:
        patch.setattr(owner, name, wrapped(getattr(owner, name), name))
    for path in LINKS:
        module, _, name = path.rpartition(".")
        import importlib

        patch.setattr(path, wrapped(getattr(importlib.import_module(module), name), name))
    return seen


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scene", ["commit", "rejected", "rolled_back"])
def test_a_cut_at_any_step_leaves_the_old_or_the_new_and_the_work_is_finished(
    quick_path: Path, scene: str, *, after: bool
) -> None:
    """For every n: cut at the n-th durable step, start again, and find one whole set served; then go on to the end."""
    number = 0
    while True:
        number += 1
        bench = Bench(quick_path / f"{number}")
        bench.all_to(1, bench.one)
        bench.committed()
        if scene == "rejected":
            bench.refuse[bench.two] = "golden"
        if scene == "rolled_back":
            bench.processes.behave[bench.two] = Observed(5, 5, 5)
        with pytest.MonkeyPatch.context() as patch:
            seen = cut_at(patch, number, after=after)
            try:
                bench.split(5_000, bench.two, probation_s=600 if scene == "rolled_back" else 0.3)
                bench.run(20)
            except CutError:
                pass
        if len(seen) < number:
            break
        behave = dict(bench.processes.behave)
        bench.restart()
        bench.processes.behave = behave
        current = read_seal(bench.layout, bench.sets.linked_id("current")).models
        assert current.digests in ({bench.one}, {bench.one, bench.two}), seen
        assert bench.sets.damaged(current) == ""
        bench.run(40)
        good = scene == "commit"
        expected = {bench.one: 5_000, bench.two: 5_000} if good else {bench.one: 10_000}
        assert bench.served() == {"shuttle": expected}, seen
        end = {"commit": "committed", "rejected": "rejected", "rolled_back": "rolled_back"}[scene]
        assert bench.states(bench.two).count(end) == 1, (seen, bench.states(bench.two))
        assert bench.sets.linked_id("committed") == bench.sets.linked_id("current")
        assert bench.database is not None
        bench.database.close()
    assert number > 6


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    rewrite(path, bytes(content))


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def seal_of(bench: Bench, link: str = "current") -> Path:
    return bench.layout.seal(bench.sets.linked_id(link))


def object_of(bench: Bench, digest: str, name: str = "model.onnx") -> Path:
    manifest = bench.store.manifest(digest)
    return bench.store.path(manifest.file(name).hex if name else digest.removeprefix("sha256:"))


def relink(bench: Bench, target: str) -> None:
    link = bench.layout.link("current")
    link.unlink()
    link.symlink_to(target)


def replace_link_by_folder(bench: Bench) -> None:
    bench.layout.link("current").unlink()
    (bench.layout.root / "current").mkdir()
    (bench.layout.root / "current" / "seal.json").write_bytes(b"{}")


CORRUPTIONS: dict[str, Callable[[Bench], object]] = {
    "seal flipped": lambda b: flip(seal_of(b)),
    "seal truncated": lambda b: rewrite(seal_of(b), seal_of(b).read_bytes()[:-20]),
    "seal empty": lambda b: rewrite(seal_of(b), b""),
    "seal missing": lambda b: seal_of(b).unlink(),
    "seal of another set": lambda b: rewrite(seal_of(b), seal_of(b, "previous").read_bytes()),
    "seal longer": lambda b: rewrite(seal_of(b), seal_of(b).read_bytes() + b"{}"),
    "folder of the set missing": lambda b: seal_of(b).parent.rename(b.layout.root / "elsewhere"),
    "model flipped": lambda b: flip(object_of(b, b.two)),
    "model truncated": lambda b: rewrite(object_of(b, b.two), object_of(b, b.two).read_bytes()[:-1]),
    "model longer": lambda b: rewrite(object_of(b, b.two), object_of(b, b.two).read_bytes() + b"x"),
    "model missing": lambda b: object_of(b, b.two).unlink(),
    "model swapped": lambda b: rewrite(object_of(b, b.two), object_of(b, b.one).read_bytes()),
    "golden set flipped": lambda b: flip(object_of(b, b.two, "golden.jsonl")),
    "manifest flipped": lambda b: flip(object_of(b, b.two, "")),
    "manifest empty": lambda b: rewrite(object_of(b, b.two, ""), b""),
    "link to nothing": lambda b: relink(b, "sets/0000000000000000"),
    "link out of the folder": lambda b: relink(b, "../../etc"),
    "link replaced by a folder": replace_link_by_folder,
    "link missing": lambda b: b.layout.link("current").unlink(),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_damaged_on_disk_is_never_served(bench: Bench, name: str) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    bench.all_to(2, bench.two, probation_s=600)
    bench.run(6)
    shared = name == "golden set flipped"
    CORRUPTIONS[name](bench)
    bench.offline = True
    bench.restart()
    bench.run(3)
    if shared:
        assert bench.served() == {}, "both versions share the damaged file"
        assert bench.sets.damage[0].startswith("current: sync.damaged")
    else:
        assert bench.served() == {"shuttle": {bench.one: 10_000}}
        assert bench.sets.damage or "link" in name


def test_with_no_whole_set_nothing_is_served_and_it_is_fetched_again(bench: Bench) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    path = object_of(bench, bench.one)
    good = path.read_bytes()
    flip(path)
    bench.restart()
    assert bench.sets.current is None
    assert bench.sets.damage[0].startswith("current: sync.damaged")
    assert bench.conductor.unready() is not None
    rewrite_new(path, good)
    bench.committed()
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def rewrite_new(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("harm", ["flipped", "truncated", "garbage", "missing", "folder of log"])
def test_damaged_records_are_begun_anew_and_numbers_go_on_above_the_old_ones(bench: Bench, harm: str) -> None:
    bench.all_to(1, bench.one)
    bench.committed()
    used = bench.outbox.take_due(bench.clock.now().timestamp())[-1].sequence
    assert bench.database is not None
    bench.database.close()
    path = bench.layout.database
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        spoilt = {
            "flipped": content[:100] + bytes(byte ^ 0x5A for byte in content[100:400]) + content[400:],
            "truncated": content[: len(content) // 2],
        }.get(harm, b"not a database" * 100)
        path.write_bytes(spoilt)
    bench.restart()
    bench.run(3)
    assert bench.served() == {"shuttle": {bench.one: 10_000}}, "links and seals decide what is served"
    bench.all_to(2, bench.two)
    bench.committed()
    fresh = bench.outbox.take_due(bench.clock.now().timestamp() + 60)
    assert min(one.sequence for one in fresh) > used


def test_a_full_disk_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.all_to(1, bench.one)
    bench.committed()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onecode_common.files.os.fsync", full)
    bench.all_to(2, bench.two)
    for _ in range(6):
        try:
            bench.turn()
        except OnecodeError as error:
            assert error.code == "disk.full"  # noqa: PT017 - which turn meets the full disk is not the claim
    assert bench.served() == {"shuttle": {bench.one: 10_000}}
    monkeypatch.undo()
    bench.committed()
    assert bench.served() == {"shuttle": {bench.two: 10_000}}
