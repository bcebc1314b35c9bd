"""What of a model's logits is regressed on the masks."""

from modeldiff_core.margins.outputs import correct_class_margin

__all__ = ["correct_class_margin"]
