"""One run on disk: append-only snapshots in SQLite; open, append, read, resume."""
