"""How the console reaches each thing outside."""
