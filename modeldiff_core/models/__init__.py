"""Architectures as torch modules, and small ones also as stacks whose parameters carry a leading `models` axis."""

from modeldiff_core.models.architectures import ARCHITECTURES, Architecture, architecture_of
from modeldiff_core.models.nets import Head, Net, Shape
from modeldiff_core.models.stacks import StackedConvNet, StackedHead, StackedLayer, StackedMLP, StackedNetwork

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Head",
    "Net",
    "Shape",
    "StackedConvNet",
    "StackedHead",
    "StackedLayer",
    "StackedMLP",
    "StackedNetwork",
    "architecture_of",
]
