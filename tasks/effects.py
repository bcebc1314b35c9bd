"""Task: the effect of one transformation on one algorithm."""

from typing import Any

from prefect import task

from modeldiff_core.stages import effects as stage
from tasks.policy import CACHED
from tasks.worker_pool import run_stage


@task(name="effect", task_run_name="{label}", tags=["effect"], **CACHED)
def measure_effect(
    label: str, reference: dict[str, Any], store: dict[str, Any], effect: dict[str, Any], execution: dict[str, Any]
) -> dict[str, Any]:
    """Change of a class probability over models and images."""
    return run_stage(stage.measure_effect, store, effect, execution=execution)
