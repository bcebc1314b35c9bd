"""Task: the learning curve of a training."""

from typing import Any

from prefect import task

from modeldiff_core.stages.curve import follow_curve
from tasks.policy import RETRIES
from tasks.worker_pool import run_stage


@task(name="learning curve", task_run_name="{label} learning curve to {budget} models", tags=["evaluation"], **RETRIES)
def learning_curve(label: str, store: dict[str, Any], curve: dict[str, Any], budget: int) -> dict[str, Any]:
    """Store the points that are missing, or name the shards that are damaged and have been removed."""
    return run_stage(follow_curve, store, curve, budget)
