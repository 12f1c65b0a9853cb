"""Tensors in, numbers out: streaming moments, their spectra, and one number each from a spectrum."""
