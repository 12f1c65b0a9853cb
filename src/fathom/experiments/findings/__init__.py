"""What the papers claim, each with its statistic over the trainings of an experiment."""
