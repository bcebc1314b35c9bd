"""Task: one shard."""

import time
from typing import Any

from prefect import get_run_logger, task

from modeldiff_core.stages.train import SHARD_WORKERS
from tasks.policy import RETRIES
from tasks.worker_pool import run_stage


@task(name="train shard", task_run_name="{label} {kind} shard {index}", tags=["shard"], **RETRIES)
def train_shard(
    label: str,
    kind: str,
    store: dict[str, Any],
    training: dict[str, Any],
    index: int,
    execution: dict[str, Any],
    limit: float,
) -> dict[str, Any]:
    """Train a shard of one kind (subsets or ensemble) within `limit` seconds and store it."""
    logger = get_run_logger()
    began = time.monotonic()
    done = run_stage(SHARD_WORKERS[kind], store, training, index, execution=execution, limit=limit)
    first, last = index * done["models"], (index + 1) * done["models"] - 1
    logger.info(
        "%s %s models %d..%d on %s: %d diverged, %.1f s with waiting for a place", label, kind, first, last,
        done["device"], done["diverged"], time.monotonic() - began,
    )  # fmt: skip
    return done
