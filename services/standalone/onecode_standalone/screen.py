"""Show what the platform does: a live table on a terminal, one line for each change elsewhere."""

import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from onecode_standalone.child import Child

_REFRESH_S = 1.0
_COLOURS = {"ready": "green", "held": "dim", "backoff": "red", "unready": "yellow", "stopping": "dim"}
_MIB = 1 << 20

Document = Mapping[str, Any]


class Screen(Protocol):
    """Where `onecode up` tells what it does."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def changed(self, child: Child) -> None:
        """Tell of a change of state."""
        ...

    def say(self, text: str) -> None:
        """Tell something to a person."""
        ...


class PlainScreen:
    """One line for each change; nothing that moves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def changed(self, child: Child) -> None:
        """Print name, state and reason; of a death the last lines of the log too."""
        if child.state in ("waiting", "preparing"):
            return
        self.say(f"{child.name:<12} {child.state:<9} {child.reason}".rstrip())
        if child.state == "backoff":
            for line in child.last_words():
                self.say(f"  | {line[:200]}")

    def say(self, text: str) -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


class LiveScreen:
    """A table that is drawn anew every second."""

    def __init__(self, status: Callable[[], Document]) -> None:
        from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
        from rich.live import Live  # noqa: PLC0415

        self._status = status
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="screen", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(timeout=3)
        self._live.stop()

    def changed(self, child: Child) -> None:
        """Print why a process died; the table shows the rest."""
        if child.state == "backoff":
            lines = child.last_words()
            self.say(f"{child.name}: {child.reason}" + "".join(f"\n  | {line[:200]}" for line in lines))

    def say(self, text: str) -> None:
        """Print above the table."""
        self._console.print(text, highlight=False, markup=False)

    def _refresh(self) -> None:
        while not self._ending.is_set():
            self._live.update(status_table(self._status()), refresh=True)
            self._ending.wait(_REFRESH_S)


def status_table(document: Document) -> Any:
    """Return the status document as a rich table."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    title = f"OneCode · {document['state']} · {document['rss_bytes'] / _MIB:,.0f} MiB"
    table = Table(title=title, title_justify="left", expand=False)
    for heading in ("name", "state", "port", "uptime", "restarts", "RSS"):
        table.add_column(heading, justify="left" if heading in ("name", "state") else "right")
    for one in document["processes"]:
        state = Text(one["state"], style=_COLOURS.get(one["state"], ""))
        if one["reason"]:
            state.append(f"  {one['reason'][:60]}", style="dim")
        memory = f"{one['rss_bytes'] / _MIB:,.0f} MiB" if one["rss_bytes"] else ""
        table.add_row(one["name"], state, str(one["port"]), _age(one["uptime_s"]), str(one["restarts"]), memory)
    return table


def _age(seconds: float) -> str:
    whole = int(seconds)
    if whole <= 0:
        return ""
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
