"""Speak HTTP/1.1 without sockets or clocks: bytes and the time come in, bytes go out."""
