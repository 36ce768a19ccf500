"""Stand between one call and whoever answers it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant
from onecode_serving.rpc.framing import Framer, framed_as
from onecode_serving.rpc.heads import Head
from onecode_serving.rpc.status import DONE, HEADS, ended, failed

if TYPE_CHECKING:
    from onecode_serving.oip.calls import Stream
    from onecode_serving.rpc.server import RpcApp


class _Caller:
    """Who calls, and what the call's headers say."""

    __slots__ = ("_head",)

    def __init__(self, head: Head) -> None:
        self._head = head

    @property
    def grant(self) -> Grant | None:
        """What the caller may do; None for methods that are everybody's."""
        return self._head.grant

    @property
    def unit(self) -> str | None:
        """What the call's metadata wants to be assigned by."""
        return self._head.unit

    @property
    def metadata(self) -> Mapping[str, str]:
        """The call's own metadata."""
        return self._head.metadata


class UnaryCall(_Caller):
    """One call with one answer, given now or later; on the loop's thread only.

    Attributes:
        deadline: Monotonic seconds.
    """

    __slots__ = ("_app", "_cancels", "_stream", "deadline")

    def __init__(self, app: "RpcApp", stream: int, head: Head, deadline: float) -> None:
        super().__init__(head)
        self._app = app
        self._stream = stream
        self._cancels: list[Callable[[], None]] = []
        self.deadline = deadline

    def reply(self, message: bytes) -> None:
        """Answer with a serialized message."""
        encoding = self._head.reply_encoding
        self._app.close(self._stream, HEADS[encoding], DONE, framed_as(message, encoding))

    def fail(self, error: OnecodeError) -> None:
        """Answer with an error."""
        self._app.refuse(self._stream, error)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call back if the caller goes away before it is answered."""
        self._cancels.append(callback)

    def cancel(self) -> None:
        """Tell those who asked that nobody waits any more."""
        for callback in self._cancels:
            callback()
        self._cancels.clear()


class StreamCall(_Caller):
    """One stream: messages in, messages out; on the loop's thread only.

    Attributes:
        deadline: Monotonic seconds; infinite if the caller set none.
        handler: Who is told of messages.
    """

    __slots__ = ("_app", "_begun", "_framer", "_over", "_stream", "deadline", "handler")

    def __init__(self, app: "RpcApp", stream: int, head: Head, deadline: float, max_message: int) -> None:
        super().__init__(head)
        self._app = app
        self._stream = stream
        self._framer = Framer(head.encoding, max_message)
        self._begun = False
        self._over = False
        self.deadline = deadline
        self.handler: Stream | None = None

    def admitted(self, now: float) -> Grant | None:
        """Return what the caller may do now, because the grant of the beginning has come to its end.

        Raises:
            UnauthenticatedError: It is nobody any more.
        """
        return self._app.admitted(self._head, now)

    def feed(self, data: bytes) -> None:
        """Pass on the messages that are complete now."""
        if self._over or self.handler is None:
            return
        try:
            messages = self._framer.feed(data)
        except OnecodeError as error:
            self.handler.cancelled()
            self.finish(error)
            return
        for message in messages:
            if not self._over:
                self.handler.message(message)

    def half_close(self) -> None:
        """Pass on that nothing more comes."""
        if self._over or self.handler is None:
            return
        try:
            self._framer.finish()
        except OnecodeError as error:
            self.handler.cancelled()
            self.finish(error)
            return
        self.handler.half_close()

    def send(self, message: bytes) -> None:
        """Answer with one more serialized message."""
        if self._over:
            return
        encoding = self._head.reply_encoding
        data = framed_as(message, encoding) if encoding else b"\x00" + len(message).to_bytes(4, "big") + message
        self._app.engine.send(self._stream, b"" if self._begun else HEADS[encoding], data)
        self._begun = True
        self._app.touch()

    def finish(self, error: OnecodeError | None = None) -> None:
        """End the stream, well or with an error."""
        if self._over:
            return
        self._over = True
        if self._begun:
            self._app.close(self._stream, b"", DONE if error is None else ended(error))
        elif error is None:
            self._app.close(self._stream, HEADS[self._head.reply_encoding], DONE)
        else:
            self._app.close(self._stream, b"", failed(error))

    def pending(self) -> int:
        """Return the bytes that wait for the caller to take them."""
        return self._app.engine.pending(self._stream)

    def pause(self) -> None:
        """Let the caller send no more than its window allows; messages that are here already still come."""
        self._app.engine.pause_reading(self._stream)

    def unpause(self) -> None:
        """Let the caller send again."""
        self._app.engine.resume_reading(self._stream)

    def cancel(self) -> None:
        """Tell the handler that nobody waits any more."""
        self._over = True
        if self.handler is not None:
            self.handler.cancelled()
