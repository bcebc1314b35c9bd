"""Task: find the fastest way to train a training's models on a worker's device."""

from typing import Any

from prefect import get_run_logger, task

from modeldiff_core.responses.probe import probe_here
from modeldiff_platform.tasks.policy import RETRIES
from modeldiff_platform.tasks.worker_pool import run_stage


@task(name="probe", task_run_name="{label} probe", tags=["probe"], **RETRIES)
def probe(
    label: str, kind: str, store: dict[str, Any], training: dict[str, Any], execution: dict[str, Any]
) -> dict[str, Any]:
    """Measure stacks and modes once, and keep the fastest in the store. kind: subsets or ensemble."""
    found = run_stage(probe_here, store, training, kind, execution=execution)
    get_run_logger().info(
        "%s: stack of %d, compiled %s, %d processes, %.4f s a model, peak memory %.0f MB",
        label,
        found["stack"],
        found["compiled"],
        found["processes"],
        found["seconds_a_model"],
        found["peak_bytes"] / 2**20,
    )
    return found
