"""The papers' figures, from the trainings of an experiment."""
