"""What the gateway reaches outside of itself: disk, server, bus, its own other processes."""
