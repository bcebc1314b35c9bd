"""Ablation of a network's components: which there are, what it gives without some of them, what gradients say."""

from modeldiff_core.ablation.ablate import MEMORY, Precision, ablated_outputs, check_bfloat16
from modeldiff_core.ablation.components import Components, Layer
from modeldiff_core.ablation.edits import edited_state, welch_scores
from modeldiff_core.ablation.fill import FillKind, Reference, subject_of
from modeldiff_core.ablation.gradients import GradientAttributions, gradient_attributions
from modeldiff_core.ablation.limited_loss import Aim, Choosing, limited_loss_set
from modeldiff_core.ablation.selection import SELECTORS, Selection, find_components
from modeldiff_core.ablation.subject import Probes, Subject

__all__ = [
    "MEMORY",
    "SELECTORS",
    "Aim",
    "Choosing",
    "Components",
    "FillKind",
    "GradientAttributions",
    "Layer",
    "Precision",
    "Probes",
    "Reference",
    "Selection",
    "Subject",
    "ablated_outputs",
    "check_bfloat16",
    "edited_state",
    "find_components",
    "gradient_attributions",
    "limited_loss_set",
    "subject_of",
    "welch_scores",
]
