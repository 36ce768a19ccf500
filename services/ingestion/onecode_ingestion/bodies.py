"""Take the bytes of requests one upload at a time: a client that comes again replaces its own dead connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from starlette.requests import ClientDisconnect, Request

from onecode_common.errors import ConflictError, InvalidError

_IDLE_S = 60.0
_YIELD_S = 10.0
_PIECE = 1 << 20


class Turn:
    """The right to append to one upload, until another request asks for it."""

    def __init__(self) -> None:
        self.asked_for = asyncio.Event()
        self.over = asyncio.Event()


class Turns:
    """Who appends to which upload; used on one event loop."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}

    @asynccontextmanager
    async def turn(self, upload_id: str) -> AsyncIterator[Turn]:
        """Wait until the one before has ended, and hold the upload meanwhile.

        Raises:
            ConflictError: It does not end.
        """
        before = self._turns.get(upload_id)
        if before is not None:
            before.asked_for.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(before.over.wait(), _YIELD_S)
            if self._turns.get(upload_id) is not None:
                message = f"upload {upload_id} is being written by another request"
                hint = "wait, ask for the offset and go on there"
                raise ConflictError(message, code="upload.locked", hint=hint)
        mine = self._turns[upload_id] = Turn()
        try:
            yield mine
        finally:
            del self._turns[upload_id]
            mine.over.set()


async def pieces(request: Request, turn: Turn) -> AsyncIterator[bytes]:
    """Yield the body in portions of about 1 MiB; what has arrived when the line is cut is yielded as well.

    Raises:
        ClientDisconnect: The line was cut, or another request asked for the upload.
        InvalidError: Nothing came for a minute.
    """
    stream = request.stream().__aiter__()
    asked_for = asyncio.create_task(turn.asked_for.wait())
    held = bytearray()
    try:
        while True:
            try:
                piece = await _next(stream, asked_for)
            except ClientDisconnect:
                yield bytes(held)
                raise
            if piece is None:
                break
            held += piece
            if len(held) >= _PIECE:
                yield bytes(held)
                held = bytearray()
    finally:
        asked_for.cancel()
    yield bytes(held)


async def _one(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)


async def _next(stream: AsyncIterator[bytes], asked_for: "asyncio.Task[Literal[True]]") -> bytes | None:
    coming: asyncio.Task[bytes | None] = asyncio.create_task(_one(stream))
    both: set[asyncio.Task[Any]] = {coming, asked_for}
    await asyncio.wait(both, timeout=_IDLE_S, return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        return coming.result()
    coming.cancel()
    if asked_for.done():
        raise ClientDisconnect
    message = f"no byte came for {_IDLE_S:.0f} s"
    raise InvalidError(message, code="upload.stalled", hint="ask for the offset and go on there")
