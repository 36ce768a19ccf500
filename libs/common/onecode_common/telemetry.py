"""Write logs that people and machines can read, and never a secret in them."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

_SECRETS = re.compile(r"\boc[kes]_[0-9a-z]{12}_[0-9A-Za-z_]+|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+")
"""API keys, enrolment tokens and JWTs, wherever they turn up."""


def redact(text: str) -> str:
    """Return the text without keys and tokens."""
    return _SECRETS.sub("[secret]", text)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Json(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(document, ensure_ascii=False))


def configure_logging(service: str, log_format: str, level: str) -> None:
    """Send all logs to stderr, one line a record, as ``text`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    text = _Text(f"%(asctime)s %(levelname)-7s {service} %(name)s: %(message)s")
    handler.setFormatter(_Json(service) if log_format == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Each request of these would be a line; the faces log what matters.
    for noisy in ("httpx", "httpx2", "httpcore", "uvicorn.access", "alembic", "urllib3", "tuf", "nats"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
