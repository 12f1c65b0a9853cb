"""Many processes that train one model: what each has seen becomes one snapshot, exactly."""
