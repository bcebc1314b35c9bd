"""Outputs of a model, computed from its logits and regressed on the masks."""

from modeldiff_core.margins.outputs import OUTPUTS, Output, class_probability, correct_class_margin, log_odds

__all__ = ["OUTPUTS", "Output", "class_probability", "correct_class_margin", "log_odds"]
