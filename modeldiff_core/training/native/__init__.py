"""Small networks on a CPU, one after the other, in compiled code that seldom leaves the processor's caches.

The sources are C, compiled once for the processor at hand. Where that is not possible torch trains them instead.
"""

from modeldiff_core.training.native.layout import Layout, layout_of
from modeldiff_core.training.native.library import native_library
from modeldiff_core.training.native.trainer import native_evaluator, train_native

__all__ = ["Layout", "layout_of", "native_evaluator", "native_library", "train_native"]
