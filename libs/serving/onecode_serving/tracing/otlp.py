"""Send spans to an OpenTelemetry collector (OTLP over HTTP): the only place that knows OpenTelemetry's packages.

Spans are made and sent on a thread of its own. What waits for it is bounded; a collector that is slow or away costs the
spans and a line in the log now and then, never a prediction.
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import NamedTuple

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from onecode_common.clock import Clock
from onecode_common.errors import InvalidError
from onecode_serving.domain.spans import Told, spans_of
from onecode_serving.domain.traceparent import parent_of

_log = logging.getLogger(__name__)
_THEIR_LOG = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")

_PATH = "/v1/traces"
_WAITING = 1024
_BATCH = 16
"""Predictions in one request: making and encoding one takes 0.2 ms, in which the loop may have to wait for us."""
_GATHER_S = 1.0
_TIMEOUT_S = 5.0
_FLUSH_S = 1.5
_END_S = 0.2
_SAY_EVERY_S = 60.0


class OtlpOptions(NamedTuple):
    """Where spans go, and who sends them.

    Attributes:
        endpoint: Base URL of the collector.
        headers_file: Headers of each request, ``name=value`` a line; None for none.
        certificate_file: Authority (PEM) of the collector's certificate; None: those that the system trusts.
        service: Name of the program, ``onecode-inference``.
        instance: Which one of them it is.
    """

    endpoint: str
    headers_file: Path | None
    certificate_file: Path | None
    service: str
    instance: str


@dataclass(slots=True)
class ExportCounts:
    """What became of chosen predictions; the numbers only grow.

    Attributes:
        sent: The collector took them.
        failed: It did not, or was not there.
    """

    sent: int = 0
    failed: int = 0


class OtlpExport:
    """Makes spans and sends them; a part of a program.

    Args:
        options: Where.
        clock: Of the lines in the log.
        gather_s: Seconds that spans may wait for others to be sent together.

    Attributes:
        counts: Of predictions, each of which is a few spans.

    Raises:
        InvalidError: The file with the headers cannot be read.
    """

    def __init__(self, options: OtlpOptions, clock: Clock, gather_s: float = _GATHER_S) -> None:
        self._endpoint = options.endpoint.rstrip("/") + _PATH
        self._clock = clock
        self._gather_s = gather_s
        self._queue: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        session = requests.Session()
        if options.headers_file is not None:
            session.auth = _FileHeaders(options.headers_file)
        self._exporter = OTLPSpanExporter(
            self._endpoint,
            certificate_file=str(options.certificate_file) if options.certificate_file is not None else None,
            timeout=_TIMEOUT_S,
            session=session,
        )
        self._made = _Made()
        resource = Resource.create(
            {
                "service.name": options.service,
                "service.version": installed_version("onecode"),
                "service.instance.id": options.instance,
            }
        )
        provider = TracerProvider(resource=resource, sampler=ALWAYS_ON, shutdown_on_exit=False)
        provider.add_span_processor(self._made)
        self._tracer = provider.get_tracer("onecode", installed_version("onecode"))
        self._said = -_SAY_EVERY_S
        self._quiet = _Quiet()
        self.counts = ExportCounts()

    def start(self) -> None:
        """Begin to send."""
        _THEIR_LOG.addFilter(self._quiet)
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, for a second or two at most."""
        if not self._thread.is_alive():
            return
        self._queue.put(None)
        self._thread.join(_FLUSH_S)
        # One that waits to try again gives up now; one that waits for the network ends with the process.
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # theirs
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            _THEIR_LOG.removeFilter(self._quiet)

    def offer(self, told: Told) -> bool:
        """Take one to be sent, or return False if too many wait; never waits."""
        if self._queue.qsize() >= _WAITING:
            return False
        self._queue.put(told)
        return True

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._batch()
            if not batch:
                continue
            try:
                for told in batch:
                    self._make(told)
                    # The loop goes first wherever it can.
                    time.sleep(0)
                self._quiet.reason = ""
                sent = self._exporter.export(self._made.taken()) is SpanExportResult.SUCCESS
            except Exception:  # noqa: BLE001 - the outermost loop of a thread: the next batch may fare better
                _log.exception("spans could not be made")
                sent = False
            self._count(len(batch), sent=sent)

    def _batch(self) -> tuple[list[Told], bool]:
        """Return what came within the time of gathering, and whether it is the last."""
        found = self._queue.get()
        batch: list[Told] = []
        until = self._clock.monotonic() + self._gather_s
        while found is not None:
            batch.append(found)
            left = until - self._clock.monotonic()
            if len(batch) >= _BATCH or left <= 0:
                return batch, False
            try:
                found = self._queue.get(timeout=left)
            except queue.Empty:
                return batch, False
        return batch, True

    def _make(self, told: Told) -> None:
        whole, parts = spans_of(told)
        parent = parent_of(told.traceparent) if told.traceparent else None
        context = None
        if parent is not None:
            flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
            remote = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(remote))
        span = self._tracer.start_span(
            whole.name, context, SpanKind.SERVER, dict(whole.attributes), start_time=whole.start_ns
        )
        inside = set_span_in_context(span)
        for part in parts:
            child = self._tracer.start_span(
                part.name, inside, SpanKind.INTERNAL, dict(part.attributes), start_time=part.start_ns
            )
            child.end(part.end_ns)
        if told.fault:
            span.set_status(Status(StatusCode.ERROR))
        span.end(whole.end_ns)

    def _count(self, number: int, *, sent: bool) -> None:
        if sent:
            self.counts.sent += number
            return
        self.counts.failed += number
        now = self._clock.monotonic()
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            why = self._quiet.reason or "no reason given"
            _log.warning("spans of %d predictions so far did not reach %s: %s", self.counts.failed, self._endpoint, why)


class _Made(SpanProcessor):
    """Keeps spans that ended until they are taken; one thread makes and takes."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def taken(self) -> Sequence[ReadableSpan]:
        spans, self._spans = self._spans, []
        return spans


class _Quiet(logging.Filter):
    """Keeps the exporter's own lines, one or more for each attempt, out of the log, but for the reason they give.

    Attributes:
        reason: Of the first attempt's failure; the later lines of a batch only say that it was given up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reason = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.reason = self.reason or record.getMessage()
        return False


class _FileHeaders(requests.auth.AuthBase):
    """Adds the headers of a file to each request; the file is read each time, so that a key in it can be replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        read_headers(path)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(read_headers(self._path))
        return request


def read_headers(path: Path) -> Mapping[str, str]:
    """Return the headers of a file, ``name=value`` a line as OpenTelemetry writes them; nothing of it is ever logged.

    Raises:
        InvalidError: It cannot be read, or a line is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the collector's headers in {path}: {type(error).__name__}"
        raise InvalidError(message, code="tracing.headers", params={"file": path}) from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if (
            not equals
            or not name.strip().replace("-", "").replace("_", "").isalnum()
            or not value.strip().isprintable()
        ):
            message = f"line {number} of {path} is no header: write name=value"
            raise InvalidError(message, code="tracing.headers", params={"file": path, "line": number})
        found[name.strip().lower()] = value.strip()
    return found
