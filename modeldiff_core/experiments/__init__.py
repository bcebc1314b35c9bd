"""Experiments: each names its settings, its plan, its checks, and what it shows; every verb and flow serves all of them."""
