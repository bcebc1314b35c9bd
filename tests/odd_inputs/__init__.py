"""Generators of odd inputs: each case is a small data set with one oddity, and what the platform has to say of it."""
