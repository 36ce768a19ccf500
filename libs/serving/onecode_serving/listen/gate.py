"""Count connections, so that no caller takes the places of all others."""

from ipaddress import IPv6Address, ip_address, ip_network

from onecode_serving.http2.limits import Budget


class Visit:
    """One connection's place, and the bytes that its transport keeps for it, from accept to end."""

    __slots__ = ("_gate", "_held", "_key")

    def __init__(self, gate: "Gate", key: str) -> None:
        self._gate: Gate | None = gate
        self._key = key
        self._held = 0

    def hold(self, count: int) -> bool:
        """Note how many bytes the transport has that the peer has not taken; False: they are too many for the house."""
        gate = self._gate
        if gate is None or count == self._held:
            return True
        gate.budget.moved(count - self._held)
        grown, self._held = count > self._held, count
        return not grown or gate.budget.used <= gate.budget.limit

    def end(self) -> None:
        """Give the place back; a second time does nothing."""
        self.hold(0)
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave(self._key)


class Gate:
    """Bounds connections for each address and in all.

    Args:
        per_address: For one address, or one IPv6 network of 64 bits, which one host may have to itself.
        connections: In all.
        budget: Counts what transports keep for slow peers; None: nobody counts.

    Attributes:
        present: Connections now.
        refused: Turned away because their address has its share, or because the house is full.
    """

    def __init__(self, per_address: int, connections: int, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._per_address = per_address
        self._connections = connections
        self._by_key: dict[str, int] = {}
        self.present = 0
        self.refused = 0

    def enter(self, address: str) -> Visit | None:
        """Return the connection's place, or None if it has none."""
        key = _network(address)
        mine = self._by_key.get(key, 0)
        if mine >= self._per_address or self.present >= self._connections:
            self.refused += 1
            return None
        self._by_key[key] = mine + 1
        self.present += 1
        return Visit(self, key)

    def leave(self, key: str) -> None:
        """Take note that a connection has ended; called by its visit."""
        left = self._by_key[key] - 1
        if left:
            self._by_key[key] = left
        else:
            del self._by_key[key]
        self.present -= 1


def _network(address: str) -> str:
    if ":" not in address:
        return address
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), 64), strict=False))
