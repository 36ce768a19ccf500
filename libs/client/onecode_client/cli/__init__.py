"""The command line ``onecode``: words in, tables or documents out, and an exit code that scripts can rely on."""
