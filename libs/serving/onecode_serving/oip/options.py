"""Say what an operator may allow callers of the protocol beyond predictions."""

from dataclasses import dataclass
from pathlib import Path

from onecode_serving.domain.validation import Limits


@dataclass(frozen=True, slots=True)
class OipOptions:
    """Switches of the protocol, closed by default.

    Attributes:
        shared_memory: Callers on this machine may pass tensors through POSIX shared memory that they register.
        shared_memory_prefix: What the names of their objects must begin with.
        trace_file: Where traces go that callers switch on; None refuses them.
        open_reflection: Callers without a credential may ask what the server speaks.
        max_in_stream: Requests of one stream in hand at once; more wait at the sender.
        max_rows: Of one request, as the data plane limits it; callers are told.
    """

    shared_memory: bool = False
    shared_memory_prefix: str = "onecode_"
    trace_file: Path | None = None
    open_reflection: bool = False
    max_in_stream: int = 64
    max_rows: int = Limits().max_rows
