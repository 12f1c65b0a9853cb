"""Plots of a run; everything in here needs the extra `plots`."""
