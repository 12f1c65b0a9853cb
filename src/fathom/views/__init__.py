"""Views of a run: what a person looks at, and what other programs read."""
