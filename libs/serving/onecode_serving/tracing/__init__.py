"""Traces of single predictions for an OpenTelemetry collector; imported only where an operator names one."""
