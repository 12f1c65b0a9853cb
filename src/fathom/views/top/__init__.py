"""A run live in the terminal: `fathom top`."""
