"""Let callers connect: one loop in one thread, every protocol on every port, nothing without a bound."""
