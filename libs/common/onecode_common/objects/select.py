"""Choose the store that an operator's URL names."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from onecode_common.errors import InvalidError
from onecode_common.objects.directory import DirectoryObjects
from onecode_common.objects.port import Objects


def open_objects(url: str) -> Objects:
    """Return the store at ``file:///folder`` or ``s3://host:port/bucket/prefix?credentials=FILE&tls=0``.

    The credentials file holds two lines, access key and secret key, mode 0600.

    Raises:
        InvalidError: The URL names neither.
        UnavailableError: The S3 server does not answer.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return DirectoryObjects(Path(parts.path))
    if parts.scheme == "s3":
        # The S3 client costs 20 MB of memory; a directory store must not pay for it.
        from onecode_common.objects.s3 import open_s3  # noqa: PLC0415

        query = parse_qs(parts.query)
        bucket, _, prefix = parts.path.strip("/").partition("/")
        credentials = Path(query["credentials"][0]) if "credentials" in query else None
        return open_s3(parts.netloc, bucket, prefix, credentials, tls=query.get("tls", ["1"])[0] != "0")
    message = f"object store {url!r} is neither file:///folder nor s3://host/bucket/prefix"
    raise InvalidError(message, code="settings.objects", params={"value": url})
