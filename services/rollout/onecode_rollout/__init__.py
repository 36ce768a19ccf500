"""Decides which gateway serves which model: segments, gray releases, signed policies, and why."""
