"""Architectures as stacks: K networks of one shape whose parameters carry a leading `models` axis."""

from modeldiff_core.models.stacks import StackedCNN, StackedMLP, StackedNetwork

__all__ = ["StackedCNN", "StackedMLP", "StackedNetwork"]
