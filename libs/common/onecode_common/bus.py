"""Reach NATS from synchronous code: one connection on an event loop of its own thread.

NATS carries copies and wake-ups. A publish that returns was taken by the broker, which is not the same as
being on disk; nothing here is ever treated as a record.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError as StreamNotFound

from onecode_common.errors import UnavailableError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_HOUR_S = 3600
_REDELIVER_S = 10
"""What a killed consumer had in hand comes again after this; handlers are idempotent and take far less."""

STREAMS = (
    StreamConfig(
        name="EV",
        subjects=["oc.ev.>"],
        max_age=24 * _HOUR_S,
        max_bytes=256 << 20,
        duplicate_window=120,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        retention=RetentionPolicy.LIMITS,
    ),
    StreamConfig(
        name="UP",
        # Named by tenant: "oc.*.up.>" would overlap with "oc.ev.>", which the broker refuses.
        subjects=["oc.default.up.>"],
        max_age=6 * _HOUR_S,
        max_bytes=1 << 30,
        duplicate_window=120,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        retention=RetentionPolicy.LIMITS,
    ),
)
"""Facts between services, and reports of gateways. Both can be rebuilt from the databases."""


class Bus:
    """One process's connection to NATS.

    It connects in the background and for ever; calls made meanwhile raise :class:`UnavailableError`.

    Args:
        url: ``nats://host:port``.
        name: Who this is; also the prefix of its reply inbox.
        seed_file: File with the NKEY seed, or None where the server asks for nothing.
    """

    name = "bus"

    def __init__(self, url: str, name: str, seed_file: Path | None = None) -> None:
        self._url = url
        self._client_name = name
        self._seed_file = seed_file
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bus", daemon=True)
        self._client = Client()
        self._connected = threading.Event()
        self._wanted: list[Callable[[], Coroutine[Any, Any, object]]] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopping = False

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._connect(), self._loop)

    def stop(self) -> None:
        """Close the connection and end the thread."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        self._stopping = True
        try:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=3)
        except (TimeoutError, NatsError):
            _log.info("the bus did not close in time")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=3)
        if not self._thread.is_alive():
            self._loop.close()

    def ready(self) -> str | None:
        """Return None: a service answers without its bus; see :attr:`connected`."""
        return None

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._connected.is_set() and self._client.is_connected

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until connected; return whether it is."""
        return self._connected.wait(timeout_s)

    def publish(self, subject: str, payload: bytes) -> None:
        """Send a hint that may be lost.

        Raises:
            UnavailableError: Not connected.
        """
        self._call(self._client.publish(subject, payload), timeout_s=5)

    def publish_durable(self, subject: str, payload: bytes, message_id: str, timeout_s: float = 5.0) -> None:
        """Send to a stream and wait until the broker has taken it; the same id is stored once.

        It is a plain request on the subject, so that a gateway needs no right under ``$JS``.

        Raises:
            UnavailableError: Not connected, or no stream answers.
        """
        headers = {"Nats-Msg-Id": message_id}
        reply = self._call(
            self._client.request(subject, payload, timeout=timeout_s, headers=headers), timeout_s=timeout_s + 1
        )
        if b'"error"' in reply.data:
            message = f"the bus refused a message on {subject}: {reply.data[:200]!r}"
            raise UnavailableError(message, code="bus.refused")

    def subscribe(self, subject: str, handler: Callable[[str, bytes], None]) -> None:
        """Call ``handler(subject, payload)`` in the bus thread for each message, also after reconnects.

        The handler must be quick and must not call the bus: it usually sets an event.
        """

        async def on_message(message: Msg) -> None:
            handler(message.subject, message.data)

        self._want(lambda: self._client.subscribe(subject, cb=on_message))

    def consume(
        self, stream: str, durable: str, subject: str, handler: Callable[[list[tuple[str, bytes]]], None]
    ) -> None:
        """Pull batches of a stream for ever and acknowledge each batch after ``handler`` returned.

        The handler runs in a worker thread, gets (subject, payload) pairs, and must be idempotent: a batch
        whose handler raised, or whose acknowledgement was lost, comes again.
        """
        self._want(lambda: self._start_consumer(stream, durable, subject, handler))

    def _want(self, action: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._wanted.append(action)
        if self._connected.is_set():
            self._loop.call_soon_threadsafe(lambda: self._keep(action()))

    def _call(self, coroutine: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        if not self.connected:
            coroutine.close()
            message = f"the message bus at {self._url} does not answer"
            raise UnavailableError(message, code="bus.unavailable")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout=timeout_s)
        except (NatsError, TimeoutError, OSError) as error:
            future.cancel()
            message = f"the message bus at {self._url} does not answer: {error!r}"
            raise UnavailableError(message, code="bus.unavailable") from error

    async def _connect(self) -> None:
        options: dict[str, Any] = {
            "servers": [self._url],
            "name": self._client_name,
            "inbox_prefix": f"_INBOX.{self._client_name}".encode(),
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.5 + random.random(),  # noqa: S311 - spreads reconnects, no secret
            "connect_timeout": 3,
            "error_cb": self._on_error,
            "allow_reconnect": True,
        }
        if self._seed_file is not None:
            options["nkeys_seed"] = str(self._seed_file)
        while not self._stopping:
            try:
                self._client = await nats.connect(**options)
                break
            except (NatsError, OSError, TimeoutError) as error:
                _log.info("waiting for the message bus at %s: %r", self._url, error)
                await asyncio.sleep(0.3 + 0.4 * random.random())  # noqa: S311
        self._connected.set()
        for action in list(self._wanted):
            self._keep(action())

    def _keep(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client.is_connected or self._client.is_reconnecting:
            await self._client.close()
        # What still waits for a connection would be torn apart with the loop, and say so.
        waiting = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _on_error(self, error: Exception) -> None:
        _log.info("message bus: %r", error)

    def ensure_streams(self) -> None:
        """Ask for the streams once connected, and again whenever the broker lost them."""
        self._want(self._ensure_streams)

    async def _ensure_streams(self) -> None:
        while not self._stopping:
            try:
                stream_api = self._client.jetstream()
                for config in STREAMS:
                    try:
                        await stream_api.stream_info(str(config.name))
                    except StreamNotFound:
                        await stream_api.add_stream(config)
                await asyncio.sleep(10)
            except (NatsError, TimeoutError, OSError) as error:
                _log.info("the streams cannot be made now: %r", error)
                await asyncio.sleep(1)

    async def _start_consumer(
        self, stream: str, durable: str, subject: str, handler: Callable[[list[tuple[str, bytes]]], None]
    ) -> None:
        config = ConsumerConfig(
            durable_name=durable,
            filter_subject=subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_REDELIVER_S,
            max_ack_pending=2000,
        )
        while not self._stopping:
            try:
                subscription = await self._client.jetstream().pull_subscribe(
                    subject, durable=durable, stream=stream, config=config
                )
                while not self._stopping:
                    await self._consume_batch(subscription, handler)
            except (NatsError, TimeoutError, OSError) as error:
                _log.info("consumer %s waits: %r", durable, error)
                await asyncio.sleep(1)

    async def _consume_batch(
        self,
        subscription: Any,
        handler: Callable[[list[tuple[str, bytes]]], None],
    ) -> None:
        try:
            # Short, because a pull that is outstanding while the broker restarts is lost for ever.
            messages = await subscription.fetch(256, timeout=5)
        except TimeoutError:
            # Notices a consumer that the broker has forgotten.
            await subscription.consumer_info()
            return
        try:
            await asyncio.to_thread(handler, [(message.subject, message.data) for message in messages])
        except Exception:  # noqa: BLE001 - the outermost loop of a consumer: the batch comes again.
            _log.exception("a batch of %d messages failed, it will come again", len(messages))
            for message in messages:
                await message.nak(delay=1)
            return
        for message in messages:
            await message.ack()
