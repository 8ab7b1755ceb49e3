"""Poets: retrain an image classifier on your own photos."""
__version__ = "3.0.0"
