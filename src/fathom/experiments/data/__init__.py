"""Labelled pictures for the experiments: one protocol, a file a source."""
