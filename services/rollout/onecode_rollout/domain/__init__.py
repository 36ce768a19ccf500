"""Rules of gray releases: values and pure functions; time comes in as Unix seconds."""
