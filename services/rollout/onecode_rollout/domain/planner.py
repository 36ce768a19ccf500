"""Tell before the start how much traffic an answer costs, and whether the traffic can pay."""

import math
from dataclasses import dataclass

from onecode_rollout.domain.evidence import BELOW_PARTS, log_mean_exp
from onecode_rollout.domain.verdict import Params

_DOUBLING = 2.0
_MINUTE_S = 60
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rollout will need.

    Attributes:
        sentence: For people.
        requests_to_catch_doubling: All requests until doubled errors are found at the first share.
        requests_to_promote: All requests until a candidate as good as the stable is proven so at the last share.
        traffic_can_pay: Whether both fit into the limit; True when the traffic is unknown.
    """

    sentence: str = ""
    requests_to_catch_doubling: float = 0.0
    requests_to_promote: float = 0.0
    traffic_can_pay: bool = True


NO_ESTIMATE = Estimate()
"""Nothing was planned yet."""


def candidate_share(share: float, ratio: float) -> float:
    """Return P(a bad event is the candidate's) at a share of traffic and a ratio of rates."""
    return share * ratio / (share * ratio + 1 - share)


def requests_needed(level: float, rate: float, share: float, ratio: float, null: float) -> float:
    """Return how many requests in all refute ``null`` when the truth is ``ratio``.

    ``ln(1/level) / (rate * (share*ratio + 1 - share) * KL(q(ratio) || q(null)))``; the simulated median
    lies between this and the same with ``ln(7/level)``.
    """
    q, q0 = candidate_share(share, ratio), candidate_share(share, null)
    divergence = q * math.log(q / q0) + (1 - q) * math.log((1 - q) / (1 - q0))
    return math.log(1 / level) / (rate * (share * ratio + 1 - share) * divergence)


def clean_requests_needed(limit: float, level: float) -> int:
    """Return how many error-free requests of the candidate prove its rate below ``limit``."""
    steps = [math.log((1 - limit * part) / (1 - limit)) for part in BELOW_PARTS]
    low, high = 1, 2
    while log_mean_exp([high * step for step in steps]) < math.log(1 / level):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if log_mean_exp([middle * step for step in steps]) >= math.log(1 / level):
            high = middle
        else:
            low = middle + 1
    return low


def estimate(
    shares: tuple[float, ...], params: Params, limit_s: float, per_second: float, error_rate: float
) -> Estimate:
    """Return what a plan needs at this traffic.

    Args:
        shares: Shares of the candidate below 1, ascending; empty for a first release.
        params: Levels and ratios; the floor is set.
        limit_s: Longest time to look.
        per_second: Requests a second to all targets; 0 = unknown.
        error_rate: Of the stable version; 0 = no errors seen.
    """
    if not shares:
        return Estimate("First release: the golden set and the probation on each member decide, no traffic is needed.")
    floor, level = params.floor or 0.0, math.exp(-params.promote_at)
    clean = clean_requests_needed(floor, level) / shares[-1] if floor else math.inf
    catch, promote = 0.0, clean
    if error_rate > 0:
        catch = requests_needed(params.alpha, error_rate, shares[0], _DOUBLING, params.r0)
        compared = requests_needed(level, error_rate, shares[-1], 1.0, params.r1)
        promote = min(compared, clean) if error_rate < floor else compared
    if per_second <= 0:
        text = f"The traffic is not known yet; promotion needs about {promote:,.0f} requests in all."
        return Estimate(text, catch, promote)
    pays = max(catch, promote) / per_second <= limit_s
    text = _sentence(catch, promote, per_second)
    if not pays:
        text += (
            f"; that is longer than the limit of {span(limit_s)}: take a larger first share, a longer limit,"
            " a wider r1 or a higher floor"
        )
    return Estimate(f"{text}.", catch, promote, pays)


def _sentence(catch: float, promote: float, per_second: float) -> str:
    took = span(promote / per_second)
    text = f"At {per_second:,.1f} requests/s, proving the candidate good enough takes about {took}"
    return f"{text} and finding doubled errors about {span(catch / per_second)}" if catch else text


def span(seconds: float) -> str:
    """Return a duration for people: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 2 * _MINUTE_S:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"
