"""The program of one run: it computes, and tells what it did in a file; it knows no other service."""
