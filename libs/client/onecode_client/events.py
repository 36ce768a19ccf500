"""Facts of the platform as they happen."""

from collections.abc import Iterator, Sequence

from onecode_client.nouns import Noun
from onecode_client.results import Event
from onecode_client.sse import frames


class Events(Noun):
    """The stream of facts."""

    def follow(self, topics: Sequence[str] = (), *, after: str = "") -> Iterator[Event]:
        """Yield facts from now on, or after the one with this number; ends when the server closes the stream.

        An event named ``reset`` says that facts were missed: read again what you show.

        Args:
            topics: Patterns of topics; none means all.
            after: Number of the last event that was seen.

        Raises:
            UnavailableError: The line was cut; go on with the number of the last event.
        """
        headers = {"Last-Event-ID": after} if after else {}
        with self._rest.stream("/events", headers, topics=",".join(topics) or None) as lines:
            for frame in frames(lines):
                yield Event(name=frame.name, number=frame.number, document=frame.document)
