"""Instruments beside saturation, on a model and data: probes, projections, similarity."""
