"""Canonical encoding, digests and random streams, the same on every machine and in every process."""

from modeldiff_core.identity.canonical import (
    UnstableValueError,
    canonical_json,
    differences,
    digest,
    plain,
    short_digest,
)
from modeldiff_core.identity.randomness import generator
from modeldiff_core.identity.restore import Tagged, restore

__all__ = [
    "Tagged",
    "UnstableValueError",
    "canonical_json",
    "differences",
    "digest",
    "generator",
    "plain",
    "restore",
    "short_digest",
]
