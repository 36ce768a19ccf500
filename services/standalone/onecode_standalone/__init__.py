"""Run the whole platform on one machine: the same programs, started as child processes of one supervisor."""
