"""Read addresses as operators write them; apart from settings, whose library a small server need not load."""

from onecode_common.errors import InvalidError


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of ``host:port``.

    Raises:
        InvalidError: There is no port number.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        message = f"address {address!r} is not host:port"
        raise InvalidError(message, code="settings.address", params={"value": address})
    return host, int(port)
