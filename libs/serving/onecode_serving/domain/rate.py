"""Say whether one more request fits into a rate, as a pure function of what was and what time it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a caller may ask.

    Attributes:
        per_s: Requests a second in the long run.
        burst: Requests at once after a pause; at least 1.
    """

    per_s: float
    burst: float

    def share(self, processes: int) -> "Rate":
        """Return what each of several processes may let pass, so that all together let pass no more than this."""
        return Rate(self.per_s / processes, self.burst / processes)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket at one moment.

    Attributes:
        tokens: Requests that may come at once.
        at: When that was so, in seconds that never run backwards.
    """

    tokens: float
    at: float


def full(rate: Rate, now: float) -> Bucket:
    """Return the bucket of a caller who has not asked before."""
    return Bucket(rate.burst, now)


def take(rate: Rate, bucket: Bucket, now: float) -> tuple[Bucket, float]:
    """Take one token out.

    A bucket whose rate was changed meanwhile goes on with what it has, cut to the new burst.

    Returns:
        The bucket after it, and 0.0; or the bucket as it is now and the seconds after which there will be a token.
    """
    tokens = min(rate.burst, bucket.tokens + max(0.0, now - bucket.at) * rate.per_s)
    if tokens >= 1.0:
        return Bucket(tokens - 1.0, now), 0.0
    return Bucket(tokens, now), (1.0 - tokens) / rate.per_s
