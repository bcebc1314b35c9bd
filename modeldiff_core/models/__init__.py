"""Architectures as torch modules, and small ones also as stacks whose parameters carry a leading `models` axis."""

from modeldiff_core.models.architectures import ARCHITECTURES, Architecture
from modeldiff_core.models.nets import Head, Net, Shape
from modeldiff_core.models.stacks import StackedConvNet, StackedHead, StackedMLP, StackedNetwork

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Head",
    "Net",
    "Shape",
    "StackedConvNet",
    "StackedHead",
    "StackedMLP",
    "StackedNetwork",
]
