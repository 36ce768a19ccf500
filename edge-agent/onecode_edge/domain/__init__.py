"""The gateway's rules: what to serve, when to switch, when to go back."""
