"""Tasks: datamodels by blocks of targets, and their score."""

from typing import Any

from prefect import task

from modeldiff_core.stages import gram
from modeldiff_core.stages.regress import finish_regression, regress_block
from modeldiff_core.stages.score import score
from tasks.policy import CACHED, RETRIES
from tasks.worker_pool import run_stage


@task(name="count masks", task_run_name="{label} masks counted", tags=["datamodels"], **CACHED)
def count_masks(
    label: str, reference: dict[str, Any], store: dict[str, Any], regression: dict[str, Any]
) -> dict[str, Any]:
    """Count how often training examples are left in together, once for all blocks."""
    return run_stage(gram.count_masks, store, regression)


@task(name="regress", task_run_name="{label} datamodels of targets {start}-{stop}", tags=["datamodels"], **RETRIES)
def regress(label: str, store: dict[str, Any], regression: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Fit one block."""
    return run_stage(regress_block, store, regression, start, stop)


@task(name="finish datamodels", task_run_name="{label} datamodels complete", tags=["datamodels"], **CACHED)
def finish_datamodels(
    label: str, reference: dict[str, Any], store: dict[str, Any], regression: dict[str, Any]
) -> dict[str, Any]:
    """Write the record of all blocks."""
    return finish_regression(store, regression)


@task(name="score", task_run_name="{label} linear datamodeling score", tags=["evaluation"], **CACHED)
def score_datamodels(
    label: str,
    reference: dict[str, Any],
    store: dict[str, Any],
    training: dict[str, Any],
    regression: dict[str, Any],
    ensemble_models: int,
) -> dict[str, Any]:
    """Score the datamodels on models that they never saw."""
    return run_stage(score, store, training, regression, ensemble_models)
