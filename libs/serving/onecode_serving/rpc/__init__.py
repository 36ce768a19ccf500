"""Speak gRPC over the HTTP/2 engine: framing, status, deadlines, and the short way of a prediction."""
