"""Know which units a policy gives to the candidate, by the rule that gateways apply themselves."""

from collections.abc import Sequence

from onecode_common.assignment import BUCKETS, bucket


def exact_width(salt: str, members: Sequence[str], share: int) -> int:
    """Return the smallest ``w`` for which ``bucket < w`` holds for the wanted number of members.

    Args:
        salt: Of the rollout.
        members: All that may be chosen.
        share: Wanted share in basis points; at least one member is wanted.
    """
    if not members or share >= BUCKETS:
        return min(share, BUCKETS)
    wanted = max(1, -(-len(members) * share // BUCKETS))
    return sorted(bucket(salt, member) for member in members)[wanted - 1] + 1
