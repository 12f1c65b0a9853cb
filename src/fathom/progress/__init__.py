"""The last snapshot in one quiet line, while a training runs."""
