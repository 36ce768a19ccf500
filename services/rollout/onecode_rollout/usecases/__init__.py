"""What callers may do; each method is one transaction, and rules live in the domain."""
