"""Tensors in, numbers out: streaming moments, their spectra, a number each from a spectrum."""
