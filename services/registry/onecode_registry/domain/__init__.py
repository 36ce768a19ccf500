"""Rules of the registry: values and pure functions."""
