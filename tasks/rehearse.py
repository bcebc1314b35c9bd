"""Task: rehearse an algorithm of a user's own where it will be trained."""

from typing import Any

from prefect import task

from modeldiff_core.stages.rehearsal import rehearse_here
from modeldiff_platform.tasks.policy import RETRIES
from modeldiff_platform.tasks.worker_pool import run_stage


@task(name="rehearse", task_run_name="{label} rehearsal", tags=["rehearsal"], **RETRIES)
def rehearse(label: str, training: dict[str, Any], execution: dict[str, Any]) -> dict[str, Any]:
    """Train a few models on a few examples; returns time, memory and remarks, fails for what cannot be trained."""
    return run_stage(rehearse_here, training, execution=execution)
