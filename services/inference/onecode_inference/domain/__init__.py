"""What to serve under a policy, and what to tell of it: pure rules."""
