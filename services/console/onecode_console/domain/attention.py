"""Decide what the overview puts first: the one next step, and what needs a person."""

from collections.abc import Sequence
from dataclasses import dataclass

from onecode_console.domain.texts import N_, Text, text


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is of everything; None where the service did not answer."""

    datasets: int | None
    runs: int | None
    models: int | None
    rollouts: int | None
    gateways: int | None


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do next.

    Attributes:
        stage: Index into data, train, evaluate, release, watch.
        title: What.
        why: One sentence.
        page: Where, below the project; empty when a command does it.
        command: How on the command line; may be empty.
    """

    stage: int
    title: str
    why: str
    page: str
    command: str


_STEPS = (
    NextStep(
        0,
        N_("Bring in data"),
        N_("There is no data set yet. Upload a CSV or Parquet file; a cut connection resumes where it was."),
        "",
        "onecode data upload FILE.csv --name NAME",
    ),
    NextStep(
        1,
        N_("Train a first model"),
        N_("There is data, but no training run yet. A recipe names the target and the budget."),
        "data",
        "onecode train start -f recipe.yaml --data NAME --wait",
    ),
    NextStep(
        2,
        N_("Register a model version"),
        N_("A run was started, but no model version is registered. Look at the run."),
        "runs",
        "",
    ),
    NextStep(
        3,
        N_("Release the model"),
        N_("A model version waits for its first release, step by step, with evidence."),
        "models",
        "onecode rollout start --model NAME:1 --segment cloud",
    ),
    NextStep(
        3,
        N_("Connect a gateway"),
        N_("No gateway is enrolled yet; releases reach only the cloud."),
        "gateways",
        "onecode gateway create NAME --segment SEGMENT",
    ),
)
_WATCH = NextStep(
    4, N_("All is set up"), N_("Data, model, release and gateways are there. Watch the releases below."), "rollouts", ""
)


def next_step(counts: Counts) -> NextStep:
    """Return the first step that is not done; what could not be counted is taken as done."""
    present = (counts.datasets, counts.runs, counts.models, counts.rollouts, counts.gateways)
    return next((step for step, count in zip(_STEPS, present, strict=True) if count == 0), _WATCH)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person: what, and where to look (path below the project)."""

    what: Text
    page: str
    tone: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing of the platform with its state, as the overview looks at it."""

    name: str
    page: str
    state: str
    reason: str = ""


def needs(rollouts: Sequence[Seen], runs: Sequence[Seen], stale: Sequence[Seen], away: Sequence[Text]) -> list[Need]:
    """Return what needs a person, worst first."""
    found = [Need(text("%(service)s does not answer.", service=service), "#services", "bad") for service in away]
    for one in rollouts:
        if one.state == "paused":
            found.append(
                Need(text("Release %(name)s is paused and needs a decision.", name=one.name), one.page, "warn")
            )
        elif one.state == "awaiting_approval":
            found.append(Need(text("Release %(name)s waits for approval.", name=one.name), one.page, "warn"))
        elif one.state == "rollback_incomplete":
            found.append(Need(text("Release %(name)s did not go back everywhere.", name=one.name), one.page, "bad"))
    found += [
        Need(text("Training %(name)s was interrupted; it can be resumed.", name=one.name), one.page, "warn")
        for one in runs
        if one.state == "RUN_STATE_INTERRUPTED"
    ]
    if stale:
        names = ", ".join(one.name for one in stale[:3]) + (" …" if len(stale) > 3 else "")  # noqa: PLR2004
        found.append(Need(text("Gateways not heard from: %(names)s.", names=names), "gateways", "warn"))
    return found
