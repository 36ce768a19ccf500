"""Answer the two long REST calls: facts of all services, and the progress of one run."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from onecode.training.v1 import training_pb2 as training
from onecode_common.errors import InvalidError, OnecodeError
from onecode_console.api.relay import PREFIX
from onecode_console.convert import to_json
from onecode_console.domain.events import parse_topics
from onecode_console.ports import Peers
from onecode_console.streams import HEARTBEAT, Streams, Watch, frame, waits
from onecode_console.usecases import Identity
from onecode_console.visit import current_visitor

_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
_MEDIA = "text/event-stream"
_MAX_TOPICS = 4096
_MAX_DIGITS = 19


def install_events(app: FastAPI, streams: Streams, identity: Identity, peers: Peers, project: str) -> None:
    """Add both."""

    @app.get(f"{PREFIX}/events", tags=["events"], summary="Facts of all services (server-sent events)")
    async def events(request: Request, topics: str = "") -> StreamingResponse:
        if len(topics) > _MAX_TOPICS:
            message = f"query parameter topics has {len(topics)} characters, at most {_MAX_TOPICS} are taken"
            raise InvalidError(message, code="request.invalid", params={"field": "topics"})
        after, visitor = _place(request), current_visitor()
        facts = streams.facts(after, parse_topics(topics), lambda: identity.still_alive(visitor))
        return _stream(streams, facts)

    @app.get(f"{PREFIX}/runs/{{run_id}}/progress", tags=["training"], summary="Progress of a run (server-sent events)")
    def progress(request: Request, run_id: str) -> StreamingResponse:
        visitor = current_visitor()
        after = _place(request) or 0
        peers.call("training", "GetRun", training.GetRunRequest(project=project, run_id=run_id))
        wanted = training.WatchRunRequest(project=project, run_id=run_id, after_sequence=after)
        begin = copy_context()
        watched = _watched(
            streams,
            lambda: begin.run(peers.watch, "training", "WatchRun", wanted),
            lambda: identity.still_alive(visitor),
        )
        return _stream(streams, watched)


def _stream(streams: Streams, pieces: AsyncIterator[bytes]) -> StreamingResponse:
    streams.require_place()

    async def held() -> AsyncIterator[bytes]:
        with streams.held_place():
            async for piece in pieces:
                yield piece

    return StreamingResponse(held(), media_type=_MEDIA, headers=_HEADERS)


async def _watched(
    streams: Streams, begin: Callable[[], Any], still_allowed: Callable[[], bool]
) -> AsyncIterator[bytes]:
    loop, arrived = asyncio.get_running_loop(), []
    yield b": connected\n\n"
    watch = Watch(streams, still_allowed)
    with streams.woken() as event:

        def take(answer: Any) -> None:
            arrived.append(answer)
            event.set()

        call = begin()
        threading.Thread(target=_pump, args=(call, loop, take), name="watch-run", daemon=True).start()
        try:
            while await watch.goes_on():
                event.clear()
                answers = arrived[:]
                arrived.clear()
                for answer in answers:
                    if answer is None:
                        yield frame("end", {})
                        return
                    yield b"".join(_progress_frames(answer))
                if not await waits(event, streams.heartbeat_s):
                    yield HEARTBEAT
        finally:
            call.cancel()


def _pump(call: Any, loop: asyncio.AbstractEventLoop, take: Callable[[Any], None]) -> None:
    """Carry answers from the stream's thread to the loop; None says that the stream has ended well."""
    try:
        for answer in call:
            loop.call_soon_threadsafe(take, answer)
        loop.call_soon_threadsafe(take, None)
    except OnecodeError as error:
        document = {"code": error.code, "detail": error.message}
        if not loop.is_closed():
            loop.call_soon_threadsafe(take, document)
            loop.call_soon_threadsafe(take, None)


def _progress_frames(answer: Any) -> list[bytes]:
    if isinstance(answer, dict):
        return [frame("error", answer)]
    frames = []
    if answer.HasField("progress"):
        frames.append(frame("progress", to_json(answer.progress), answer.progress.sequence))
    if answer.HasField("run"):
        frames.append(frame("run", to_json(answer.run)))
    return frames


def _place(request: Request) -> int | None:
    """Return where to go on: what a browser sends by itself, or what a program puts into the query."""
    header, query = request.headers.get("last-event-id", ""), request.query_params.get("after", "")
    return _number(header or query, "after") if header or query else None


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        message = f"{name} is {ascii(text)[:80]}, expected a number that this stream has sent"
        raise InvalidError(message, code="request.invalid", params={"field": name, "value": ascii(text)[:80]})
    return int(text)
