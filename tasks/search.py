"""Tasks: what the ends of a direction share, and the search for transformations along it."""

from typing import Any

from prefect import task

from modeldiff_core.stages import enrichment, search
from tasks.policy import CACHED
from tasks.worker_pool import run_stage


@task(name="describe", task_run_name="{label}", tags=["subpopulation"], **CACHED)
def describe(
    label: str, reference: dict[str, Any], store: dict[str, Any], description: dict[str, Any]
) -> dict[str, Any]:
    """Enrichments and contrasts of both ends of a direction."""
    return run_stage(enrichment.describe, store, description)


@task(name="propose", task_run_name="{label}", tags=["search"], **CACHED)
def propose(
    label: str, reference: dict[str, Any], store: dict[str, Any], search_spec: dict[str, Any]
) -> dict[str, Any]:
    """Candidate transformations along a direction."""
    return run_stage(search.propose_candidates, store, search_spec)


@task(name="rank", task_run_name="{label}", tags=["search"], **CACHED)
def rank(
    label: str,
    reference: dict[str, Any],
    store: dict[str, Any],
    search_spec: dict[str, Any],
    which: str,
    execution: dict[str, Any],
) -> dict[str, Any]:
    """Effects of the candidates along a direction on one algorithm."""
    return run_stage(search.rank_candidates, store, search_spec, which, execution=execution)


@task(name="confirm", task_run_name="{label}", tags=["search"], **CACHED)
def confirm(
    label: str,
    reference: dict[str, Any],
    store: dict[str, Any],
    search_spec: dict[str, Any],
    which: str,
    execution: dict[str, Any],
) -> dict[str, Any]:
    """Effects of the best candidates on one algorithm, on images and models that did not choose them."""
    return run_stage(search.measure_finalists, store, search_spec, which, execution=execution)
