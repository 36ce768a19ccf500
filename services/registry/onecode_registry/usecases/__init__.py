"""What a caller may do with the registry."""
