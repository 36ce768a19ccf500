"""Speak the Open Inference Protocol over HTTP/1.1: routes, bodies and answers, on the event loop of the listener."""
