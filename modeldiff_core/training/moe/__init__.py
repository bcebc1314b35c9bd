"""Transformers with mixtures of experts: the network, its routing, its costs and how it is trained."""

from modeldiff_core.training.moe.counts import active_parameters, parameters, step_flops, token_flops
from modeldiff_core.training.moe.model import MoeTransformer
from modeldiff_core.training.moe.network import MoeNetwork, active_experts
from modeldiff_core.training.moe.train import MoeRecipe, TrainedMoe, train_moe

__all__ = [
    "MoeNetwork",
    "MoeRecipe",
    "MoeTransformer",
    "TrainedMoe",
    "active_experts",
    "active_parameters",
    "parameters",
    "step_flops",
    "token_flops",
    "train_moe",
]
