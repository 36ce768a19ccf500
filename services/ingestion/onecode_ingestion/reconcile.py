"""Forget what nobody needs any more: old uploads, bytes without an upload, objects without a version."""

import threading
from datetime import timedelta

from onecode_common.errors import NotFoundError
from onecode_ingestion.ports import Ports

_PRINCIPAL = "service:ingestion"


class Sweep:
    """One turn of the sweeping loop.

    Args:
        ports: Everything outside.
        keep: How long an upload is kept.
        grace: How long an object may lie there without a version: longer than any commit takes.
    """

    def __init__(self, ports: Ports, keep: timedelta, grace: timedelta) -> None:
        self._ports = ports
        self._keep = keep
        self._grace = grace

    def turn(self, stopping: threading.Event) -> bool:
        """Sweep once; there is never more to do at once."""
        self._sweep_uploads()
        if not stopping.is_set():
            self._sweep_objects(stopping)
        return False

    def _sweep_uploads(self) -> None:
        # Files first: an upload that begins between the two questions has a record and no file yet.
        files = self._ports.files.known()
        known = self._ports.records.upload_ids()
        for upload_id in files:
            if upload_id not in known:
                self._ports.files.clear(upload_id)
        for upload in self._ports.records.uploads_before(self._ports.clock.now() - self._keep):
            try:
                self._ports.records.remove_upload(upload.project, upload.upload_id, _PRINCIPAL)
            except NotFoundError:
                continue
            self._ports.files.clear(upload.upload_id)

    def _sweep_objects(self, stopping: threading.Event) -> None:
        before = self._ports.clock.now() - self._grace
        old = [name for name, stored in self._ports.objects.list() if stored < before]
        needed = self._ports.records.objects()
        for name in old:
            if stopping.is_set():
                return
            if name not in needed:
                self._ports.objects.delete(name)
