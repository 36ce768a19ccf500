"""Rules of the console: pure, without clock, network or framework."""
