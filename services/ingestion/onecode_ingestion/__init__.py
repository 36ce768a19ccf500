"""Own data sets: take uploads, say what is in them, and keep them as immutable versions."""
