"""Samplers of the training examples that each model sees."""

from modeldiff_core.subsets.sampler import SubsetSampler

__all__ = ["SubsetSampler"]
