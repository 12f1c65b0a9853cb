"""From a running model to rows: which layers are watched, and what each call of them adds."""
