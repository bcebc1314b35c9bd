"""Scaling laws of runs: ``scaling_adopted`` takes a table; fits, pages and figures serve any experiment with runs."""
