"""Experiments: settings, a plan, checks and what is shown of each; every verb and the one flow serve all of them."""
