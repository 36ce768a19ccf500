"""What a caller may do with runs, and what a run does by itself."""
