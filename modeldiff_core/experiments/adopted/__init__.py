"""Comparison of margins or attributions that were made elsewhere."""
