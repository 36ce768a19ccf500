"""The outside of the service, one thing a file."""
