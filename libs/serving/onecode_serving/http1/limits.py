"""Bound what one HTTP/1 connection may cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Http1Limits:
    """Every bound of a connection; the letters are those of the threats they answer.

    Attributes:
        head_bytes: Of a request line and its fields; more is answered 431 (H4).
        head_fields: Fields of one head, and of one trailer section.
        request_s: From the first byte of a request to its last (H8).
        idle_s: Without a request.
        linger_s: How long a refused request is still read and thrown away, so that its sender sees the refusal.
        drain_bytes: How much of a refused body is read and thrown away before the connection ends.
        chunks: Of one chunked body; each costs more than its bytes.
        chunk_line_bytes: Of one chunk's size line with its extensions.
        output_bytes: Waiting in the engine (H7); one larger answer is refused.
        pause_bytes: Waiting output above which the next pipelined request has to wait, and waiting input above which
            the connection should not be read.
        input_bytes: Of pipelined requests in waiting; a peer that is read although :attr:`Http1Engine.paused` is set
            is let go here.
        stalled_s: Waiting output that is not taken for so long ends the connection (H7).
        cached_heads: Heads remembered by their bytes.
        cached_head_bytes: Of a head that is remembered.
    """

    head_bytes: int = 16 << 10
    head_fields: int = 100
    request_s: float = 30.0
    idle_s: float = 300.0
    linger_s: float = 10.0
    drain_bytes: int = 68 << 20
    chunks: int = 100_000
    chunk_line_bytes: int = 256
    output_bytes: int = 16 << 20
    pause_bytes: int = 64 << 10
    input_bytes: int = 1 << 20
    stalled_s: float = 30.0
    cached_heads: int = 32
    cached_head_bytes: int = 1 << 10


@dataclass(slots=True)
class Http1Counts:
    """What happened on a connection; the numbers only grow.

    Attributes:
        requests: Handed to the app.
        malformed: Heads and chunks that broke the grammar.
        too_large: Heads and bodies over their limits.
        slow: Requests that did not arrive in time.
        stalled: Connections whose answers nobody took.
    """

    requests: int = 0
    malformed: int = 0
    too_large: int = 0
    slow: int = 0
    stalled: int = 0
