"""Trainings that ship with fathom."""
