"""Tasks: directions of both sides, and the null that they are measured against."""

from typing import Any

from prefect import task

from modeldiff_core.stages import directions as stage
from tasks.policy import CACHED
from tasks.worker_pool import run_stage


@task(name="directions", task_run_name="residual directions", tags=["comparison"], **CACHED)
def find_directions(reference: dict[str, Any], store: dict[str, Any], pair: dict[str, Any]) -> dict[str, Any]:
    """Residual PCA and cross-fitted variances."""
    return run_stage(stage.find_directions, store, pair)


@task(name="null", task_run_name="null block {block}", tags=["comparison"], **CACHED)
def null_block(reference: dict[str, Any], store: dict[str, Any], pair: dict[str, Any], block: int) -> dict[str, Any]:
    """Statistics under random exchanges of A and B."""
    return run_stage(stage.null_block, store, pair, block)
