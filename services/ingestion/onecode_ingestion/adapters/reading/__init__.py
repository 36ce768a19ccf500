"""The child process that reads foreign bytes: all native parsers run here, under limits, and nowhere else."""
