"""Servers, commands and drills that both tests and benchmarks start; not part of the installed package."""
