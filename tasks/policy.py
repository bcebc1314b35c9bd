"""How tasks are retried, cached and named: one policy for all of them."""

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem, RemoteFileSystem
from prefect.tasks import Task, exponential_backoff

from modeldiff_core.errors import ConfigError, DamagedObject, Diverged
from modeldiff_core.identity import short_digest
from modeldiff_core.store import StoreSettings
from modeldiff_core.training.functions.guard import FunctionFailed
from modeldiff_platform.tasks.worker_pool import WorkerDied

RESULTS = ".prefect/results"
"""Folder under the store's root where Prefect keeps its JSON references."""


def worth_retrying(_task: Task[Any, Any], _run: Any, state: State[Any]) -> bool:
    """Return whether trying again can help: not for a wrong request, a diverging recipe, a user's own function
    that fails or a damaged object, and not once the run is over.
    """
    try:
        state.result()
    except (ConfigError, Diverged, DamagedObject, FunctionFailed):
        return False
    except WorkerDied as error:
        return not error.over
    except Exception:
        return True
    return False


def key_of_reference(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return the cache key: the digest of what the result is made from, and the object that it ends up in."""
    reference = parameters["reference"]
    return f"{reference['record'].replace('/', '.')}-{reference['digest']}"


RETRIES: dict[str, Any] = {
    # By default Prefect gives a task that is called twice in one run its first result: a shard that was damaged after
    # it was trained would never be trained again.
    "cache_policy": NO_CACHE,
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": worth_retrying,
}
CACHED: dict[str, Any] = {
    **{name: value for name, value in RETRIES.items() if name != "cache_policy"},
    "cache_key_fn": key_of_reference,
    "persist_result": True,
    "result_serializer": "json",
}


def result_storage(store: StoreSettings) -> LocalFileSystem | RemoteFileSystem:
    """Return a saved block for Prefect's results beside the study's own objects; it holds no secret."""
    url = f"{store.url}/{RESULTS}"
    block: LocalFileSystem | RemoteFileSystem
    if url.startswith("file://"):
        block = LocalFileSystem(basepath=url.removeprefix("file://"))
    else:
        block = RemoteFileSystem(basepath=url, settings=store.options())
    block.save(f"modeldiff-{short_digest(url)}", overwrite=True)
    return block
