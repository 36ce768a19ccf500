"""Where training touches the outside: one thing a file."""
