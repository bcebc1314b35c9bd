"""Training of small networks on a CPU, one by one, in compiled code that rarely leaves the processor's caches.

The C sources are compiled once for the processor of this machine. Where that is impossible torch trains instead.
"""

from modeldiff_core.training.native.curvature import Curvature, Move, WeightedBatch
from modeldiff_core.training.native.layout import Layout, layout_of
from modeldiff_core.training.native.library import native_library
from modeldiff_core.training.native.tangents import Given, Outcome, Rule, TangentStep, TangentWalk
from modeldiff_core.training.native.trainer import as_bytes, native_evaluator, train_native

__all__ = [
    "Curvature",
    "Given",
    "Layout",
    "Move",
    "Outcome",
    "Rule",
    "TangentStep",
    "TangentWalk",
    "WeightedBatch",
    "as_bytes",
    "layout_of",
    "native_evaluator",
    "native_library",
    "train_native",
]
