"""Finding the fastest way to train on a device, remembered with the training."""

import platform
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from modeldiff_core.identity import restore, short_digest
from modeldiff_core.store import ObjectStore, StoreSettings, read_record, write_record
from modeldiff_core.study import Training
from modeldiff_core.training import Execution
from modeldiff_core.training.shards import ENSEMBLE_OFFSET
from modeldiff_core.training.tuning import fastest


def probe_training(store: ObjectStore, training: Training, kind: str, execution: Execution) -> dict[str, Any]:
    """Return the record of the fastest way to train shards of a kind (subsets or ensemble) on this machine's device.

    Measured once for each kind of hardware and limit of stacks and processes, then read. Keys: stack, compiled,
    processes, seconds_a_model, peak_bytes, hardware, measured (every way that fitted).
    """
    key = probe_key(training, kind, execution)
    try:
        return read_record(store, key)
    except FileNotFoundError:
        content = measured_ways(training, kind, execution)
        write_record(store, key, content)
        return content


def probe_here(store: dict[str, Any], training: dict[str, Any], kind: str, execution: dict[str, Any]) -> dict[str, Any]:
    """Return what ``probe_training`` returns, from arguments of plain JSON in a worker process."""
    given = replace(restore(Execution, execution), tuned=False)
    return probe_training(ObjectStore(StoreSettings(**store)), restore(Training, training), kind, given)


def measured_ways(spec: Training, kind: str, execution: Execution) -> dict[str, Any]:
    """Return the record that ``probe_training`` keeps, measured now."""
    task = spec.task()
    size = spec.shard_size if kind == "subsets" else spec.ensemble_shard_size
    if kind == "subsets":
        models, masks = list(range(size)), spec.sampler(len(task.train)).masks(range(size))
    else:
        models = [ENSEMBLE_OFFSET + model for model in range(size)]
        masks = np.ones((size, len(task.train)), dtype=bool)
    ways = [asdict(way) for way in fastest(task, masks, models, execution, spec.task)]
    return {**ways[0], "hardware": hardware(execution.device), "measured": ways}


def tuned_execution(store: StoreSettings, spec: Training, kind: str, execution: Execution) -> Execution:
    """Return the fastest way on record for this machine's device if it is asked for, else the given one."""
    if not execution.tuned:
        return execution
    found = _record(store, probe_key(spec, kind, execution))
    if not found:
        return execution
    return replace(execution, stack=found["stack"], compiled=found["compiled"], stack_batch_norm=True)


def probe_key(spec: Training, kind: str, execution: Execution) -> str:
    """Return the key of the record of this kind of hardware."""
    about = {
        "hardware": hardware(execution.device),
        "torch": torch.__version__,
        "kind": kind,
        "most": execution.stack,
        "processes": list(execution.processes),
        "native": execution.native,
    }
    return f"{spec.prefix}/probes/{execution.device.partition(':')[0]}-{short_digest(about)}.json"


def hardware(device: str) -> str:
    """Return the name of the GPU or processor that a measurement on this device holds for."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


@lru_cache(maxsize=16)
def _record(settings: StoreSettings, key: str) -> dict[str, Any] | None:
    try:
        return read_record(ObjectStore(settings), key)
    except FileNotFoundError:
        return None
