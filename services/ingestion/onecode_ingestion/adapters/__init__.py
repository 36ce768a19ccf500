"""How ingestion reaches what is outside: its database, its files, and the child that reads foreign bytes."""
