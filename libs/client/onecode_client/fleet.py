"""Segments and gateways: who is out there, and who may come in."""

from collections.abc import Sequence

from onecode_client.nouns import Noun, part
from onecode_client.results import Gateway, NewGateway, Segment


class Segments(Noun):
    """Groups of gateways that get the same models."""

    def create(self, name: str, *, approvals: int = 0) -> Segment:
        """Make a segment.

        Args:
            name: Of the segment.
            approvals: How many people must approve a rollout to it.

        Raises:
            ConflictError: There is one of that name.
        """
        return Segment.read(self._rest.post("/segments", {"name": name, "approvals": approvals})["segment"])

    def list(self) -> Sequence[Segment]:
        """Return all segments."""
        return [Segment.read(one) for one in self._rest.get("/segments").get("segments", [])]


class Gateways(Noun):
    """Gateways, as they were heard of last."""

    def create(self, name: str, segment: str, *, accept: bool = False) -> NewGateway:
        """Make room for a gateway and return its one-time enrolment token, which is shown this once.

        Args:
            name: Of the gateway; it is its id too.
            segment: Where it belongs.
            accept: Let it in when it comes with the token, without a second look at its fingerprint.

        Raises:
            ConflictError: There is one of that name.
        """
        body = {"name": name, "segment": segment, "accept": accept}
        return NewGateway.read(self._rest.post("/gateways", body, again=False))

    def list(self, *, segment: str | None = None) -> Sequence[Gateway]:
        """Return all gateways, or those of a segment."""
        return [Gateway.read(one) for one in self._rest.get("/gateways", segment=segment).get("gateways", [])]

    def get(self, gateway: str) -> Gateway:
        """Return a gateway."""
        return Gateway.read(self._rest.get(f"/gateways/{part(gateway)}")["gateway"])

    def revoke(self, gateway: str, *, reason: str) -> Gateway:
        """Shut a gateway out for good."""
        return Gateway.read(self._rest.post(f"/gateways/{part(gateway)}/revoke", {"reason": reason})["gateway"])
