"""What the registry reaches outside itself, one thing a file."""
