"""The rules of serving: pure, without sockets, files or clocks."""
