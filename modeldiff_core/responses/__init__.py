"""Responses: intervention, design, targets and output; sharded, stored, resumed, consolidated by one code."""

from modeldiff_core.registry import Registry
from modeldiff_core.responses.ablations import Ablated, Ablations
from modeldiff_core.responses.models import FullModels, SubsetModels
from modeldiff_core.responses.responses import Answers, Responses, shards_of
from modeldiff_core.responses.rows import INTERVENTIONS, Intervention, Rows

RESPONSES: Registry[type[Responses]] = Registry(
    "modeldiff.responses",
    "responses.kind",
    {"ablations": Ablations, "full_models": FullModels, "rows": Rows, "subset_models": SubsetModels},
)
"""Responses by ``kind``; others register under the entry-point group ``modeldiff.responses``."""

__all__ = [
    "INTERVENTIONS",
    "RESPONSES",
    "Ablated",
    "Ablations",
    "Answers",
    "FullModels",
    "Intervention",
    "Responses",
    "Rows",
    "SubsetModels",
    "shards_of",
]
