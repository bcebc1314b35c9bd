"""Task: gather a training's shards into one matrix."""

from typing import Any

from prefect import task

from modeldiff_core.stages.consolidate import consolidate
from tasks.policy import RETRIES
from tasks.worker_pool import run_stage


@task(name="consolidate", task_run_name="{label} consolidate {models} models", tags=["matrix"], **RETRIES)
def consolidate_matrix(label: str, store: dict[str, Any], training: dict[str, Any], models: int) -> dict[str, Any]:
    """Write the matrix, or name the shards that are damaged and have been removed."""
    return run_stage(consolidate, store, training, models)
