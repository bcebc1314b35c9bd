"""What of a model's logits is regressed on the masks."""

from modeldiff_core.margins.outputs import OUTPUTS, class_probability, correct_class_margin, log_odds

__all__ = ["OUTPUTS", "class_probability", "correct_class_margin", "log_odds"]
