"""Tasks: models without the examples that helped a target most, and the verdict on what was predicted of them."""

from typing import Any

from prefect import task

from modeldiff_core.stages import counterfactual as stage
from tasks.policy import RETRIES
from tasks.worker_pool import run_stage


@task(name="train without", task_run_name="{label}", tags=["counterfactual"], **RETRIES)
def train_without(
    label: str, store: dict[str, Any], removal: dict[str, Any], execution: dict[str, Any], limit: float
) -> dict[str, Any]:
    """Train the models of one removal within `limit` seconds."""
    return run_stage(stage.train_without, store, removal, execution=execution, limit=limit)


@task(name="judge", task_run_name="counterfactual check of {label}", tags=["counterfactual"], **RETRIES)
def judge(label: str, store: dict[str, Any], study: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Write the verdict and its page."""
    return run_stage(stage.judge, store, study, asked)
