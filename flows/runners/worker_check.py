"""What the worker of a cluster says of itself before it gets tasks."""

import platform
import urllib.error
import urllib.request
from typing import Any

from modeldiff_core.errors import ConfigError
from modeldiff_core.store import ObjectStore, StoreSettings

ANSWER_TIMEOUT = 5.0  # seconds
_reported_to: list[str] = []
"""The API of Prefect that this process was first told to report to, once it was."""


def check_worker(store: dict[str, Any], api: str, gpu: bool) -> dict[str, Any]:
    """Return the version of Python of this process, and its problems as (key, expected, got, cause)."""
    problems = []
    try:
        ObjectStore(StoreSettings(**store)).probe()
    except ConfigError as error:
        problems.append((error.key, error.expected, error.got, error.hint))
    except Exception as error:
        problems.append(
            ("store.root", "a store that workers can write", store["root"], f"{type(error).__name__}: {error}")
        )
    try:
        urllib.request.urlopen(f"{api}/health", timeout=ANSWER_TIMEOUT).close()  # noqa: S310
    except (OSError, ValueError) as error:
        hint = f"{error}. Workers on other machines report to a Prefect server that they reach: set PREFECT_API_URL."
        problems.append(("PREFECT_API_URL", "an API that the cluster's workers reach", api, hint))
    else:
        if not _reported_to:
            _reported_to.append(api)
        if api != _reported_to[0]:
            hint = (
                "Prefect keeps a process's connections as long as it lives: restart the workers, and let one server "
                "stay, such as that of `modeldiff ui`."
            )
            problems.append(("PREFECT_API_URL", f"the API that the worker reports to, {_reported_to[0]}", api, hint))
    if gpu and not _sees_gpu():
        problems.append(("runner.shard_gpus", "workers that see a CUDA device", gpu, "torch finds none there"))
    return {"python": platform.python_version_tuple()[:2], "problems": problems}


def _sees_gpu() -> bool:
    import torch

    return torch.cuda.device_count() > 0
