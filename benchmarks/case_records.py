"""Where the scripts of case studies keep what is no part of a comparison, and on which machine it was made."""

import platform

import torch


def record_key(study: str, digest: str) -> str:
    """Return the key of a case's record, by the name and the digest of its study."""
    return f"cases/{study}-{digest[:8]}.json"


def machine() -> str:
    """Return the machine in words."""
    return f"{platform.processor() or platform.machine()}, torch {torch.__version__}"
