"""Tell the platform's main story on real sensor readings, and check every sentence of it."""
