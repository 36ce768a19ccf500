"""The rules of data sets: how bytes are understood, what is refused, and what a version is."""
