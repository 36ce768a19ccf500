"""Write what the engine itself has to say; everything else is the app's."""

from typing import NamedTuple

END = b"\r\n"
CLOSE = b"Connection: close\r\n\r\n"
KEEP = b"Connection: keep-alive\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS = {
    400: b"Bad Request", 408: b"Request Timeout", 417: b"Expectation Failed", 431: b"Request Header Fields Too Large",
    500: b"Internal Server Error", 501: b"Not Implemented", 503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}  # fmt: skip


class Answer(NamedTuple):
    """An answer: ``head`` is the status line and the fields with their ends, without the empty line after them."""

    head: bytes
    body: bytes


def refusal(status: int, text: str) -> Answer:
    """Return the refusal of what is no request; ``text`` is plain ASCII without quotes."""
    body = b'{"error":"%s","code":"http.%d"}' % (text.encode(), status)
    head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    return Answer(head % (status, _REASONS[status], len(body)), body)
