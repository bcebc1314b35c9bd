"""Designs: which units each row of an experiment has, or at which levels its factors are."""

from modeldiff_core.designs.bernoulli import Bernoulli, ComplementPairs
from modeldiff_core.designs.derived import Repeated, Without
from modeldiff_core.designs.design import Design
from modeldiff_core.designs.fixed_size import FixedSize, GroupedSize
from modeldiff_core.designs.grid import Cell, Factor, Grid, balanced
from modeldiff_core.designs.leave_one_out import LeaveOneOut
from modeldiff_core.designs.whole import Everything, Listed
from modeldiff_core.registry import Registry

DESIGNS: Registry[type[Design]] = Registry(
    "modeldiff.designs",
    "design.kind",
    {
        "bernoulli": Bernoulli,
        "complement_pairs": ComplementPairs,
        "everything": Everything,
        "fixed_size": FixedSize,
        "leave_one_out": LeaveOneOut,
        "grouped_size": GroupedSize,
        "listed": Listed,
        "repeated": Repeated,
        "without": Without,
    },
)
"""Designs by ``kind``; others register under the entry-point group ``modeldiff.designs``."""

__all__ = [
    "DESIGNS",
    "Bernoulli",
    "Cell",
    "ComplementPairs",
    "Design",
    "Everything",
    "Factor",
    "FixedSize",
    "Grid",
    "GroupedSize",
    "LeaveOneOut",
    "Listed",
    "Repeated",
    "Without",
    "balanced",
]
