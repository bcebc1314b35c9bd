"""Comparing two algorithms from trained checkpoints of each, without training anything."""
