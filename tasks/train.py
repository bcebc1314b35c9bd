"""Task: one shard."""

from typing import Any

from prefect import get_run_logger, task

from modeldiff_core.stages.train import SHARD_WORKERS
from tasks.policy import RETRIES
from tasks.slots import run_stage


@task(name="train shard", task_run_name="{label} {kind} shard {index}", tags=["shard"], **RETRIES)
def train_shard(label: str, kind: str, store: dict[str, Any], training: dict[str, Any], index: int) -> dict[str, Any]:
    """Train a shard of one kind (subsets or ensemble) and store it."""
    done = run_stage(SHARD_WORKERS[kind], store, training, index, on_device=True)
    logger = get_run_logger()
    logger.info("%s %s shard %d: %d models, %d diverged", label, kind, index, done["models"], done["diverged"])
    return done
