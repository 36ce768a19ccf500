"""Say in which order a change of versions goes forward, and what a restart makes of each half-way point."""

from dataclasses import dataclass

from onecode_edge.domain.modelset import ModelSet

DOWNLOADING = "downloading"
VERIFIED = "verified"
STAGED = "staged"
SWITCHING = "switching"
PROBATION = "probation"
REVERTING = "reverting"
COMMITTED = "committed"
REJECTED = "rejected"
ROLLED_BACK = "rolled_back"
REFUSED = "refused"
SUPERSEDED = "superseded"
TIMED_OUT = "timed_out"

PREPARING = (DOWNLOADING, VERIFIED, STAGED)
"""States in which nothing has changed for callers; a newer revision simply takes over."""

SERVING = (SWITCHING, PROBATION)
ENDS = (COMMITTED, REJECTED, ROLLED_BACK, REFUSED, SUPERSEDED, TIMED_OUT)

MAX_STARTS = 3
"""A version that was started so often without being committed goes back."""

MAX_ATTEMPTS = 2
DOWNLOAD_LIMIT_S = 86_400.0
SWITCH_LIMIT_S = 60.0

_NEXT = {
    DOWNLOADING: (VERIFIED, REFUSED, REJECTED, SUPERSEDED, TIMED_OUT),
    VERIFIED: (STAGED, REJECTED, REFUSED, SUPERSEDED, DOWNLOADING),
    STAGED: (SWITCHING, SUPERSEDED, VERIFIED, DOWNLOADING),
    SWITCHING: (PROBATION, REVERTING, SUPERSEDED, STAGED, VERIFIED, DOWNLOADING),
    PROBATION: (COMMITTED, REVERTING, SUPERSEDED, DOWNLOADING),
    REVERTING: (ROLLED_BACK,),
}


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of versions on its way; there is at most one.

    Attributes:
        id: Grows with each transition.
        model: Whose change it is; empty where models only go away.
        digest: The version that is on trial.
        target: What is served after it.
        origin: Id of the set that was served before it.
        since: Unix seconds when the present state was entered.
        attempts: Trials begun.
        starts: Starts of the new set after the first, without a commit.
        serving_s: Seconds that the new set has served.
        cause: Why it is being reverted.
    """

    id: int
    model: str
    rollout: str
    revision: int
    digest: str
    target: ModelSet
    origin: str
    state: str
    since: float
    generation: int
    probation_s: float
    attempts: int = 0
    starts: int = 0
    serving_s: float = 0.0
    cause: str = ""
    detail: str = ""


def allowed(state: str, following: str) -> bool:
    """Return whether one state may follow another."""
    return following in _NEXT.get(state, ())


def after_restart(transition: Transition, current: str, *, sealed: bool) -> str:
    """Return the state in which a transition goes on after the agent was started again.

    Args:
        transition: As the journal has it.
        current: Id of the set that the link ``current`` names; the truth about what is served.
        sealed: The target has a good seal.
    """
    state = transition.state
    switched = current == transition.target.id
    if state == STAGED and not sealed:
        return VERIFIED
    if state == SWITCHING:
        if not switched:
            return STAGED if sealed else VERIFIED
        return PROBATION
    if state == PROBATION and not switched:
        return DOWNLOADING
    return state


def superseded_by(transition: Transition, wanted: frozenset[str], target: str) -> bool:
    """Return whether a newer policy ends the transition now.

    Before the switch any other target does; after it only one that no longer names the version, since a half-proven
    version is better proven than dropped.

    Args:
        transition: Under way.
        wanted: Parts that the policy now names for the model, on this gateway.
        target: Id of the set that would be the next step now.
    """
    if transition.state in PREPARING:
        return target != transition.target.id
    entry = transition.target.entry(transition.model)
    mine = entry.parts if entry is not None else frozenset({transition.digest})
    # A shadow has nothing to prove that answering would not prove better.
    part = next((one for one in mine if one.endswith(transition.digest)), transition.digest)
    return transition.state in SERVING and part not in wanted
