"""A stack that does not fit the memory is halved, and its models are those that are trained alone.

On a GPU torch's allocator is limited to less than the stack needs, which affects no other process. A CPU has
no such limit, so there the error of a full GPU is raised in place of the larger launches.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.gpu.results import Bench, Comparison, Result, compared
from benchmarks.gpu.tasks import CLASSES, SMALL_RESNET9, exact_convolutions, random_task
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task
from modeldiff_core.training import sgd as sgd_module
from modeldiff_core.training.shards import output_of
from modeldiff_core.training.stacked import train_stack

TOLERANCE = 1e-3
"""Of margins, in standard deviations of the margins that are compared."""


class _Halvings(logging.Handler):
    """Keeps the trainer's sentences about a lack of memory."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "out of memory" in record.getMessage():
            self.sentences.append(record.getMessage())


def halving(bench: Bench) -> Iterator[Result]:
    """Yield whether stacks were halved, and how far the models of smaller stacks are from models trained alone."""
    stack, batch = (4, 32) if bench.quick else (8, 512)
    calm = replace(
        SMALL_RESNET9, epochs=1, batch_size=batch, learning_rate=0.02, schedule="constant", precision="float32"
    )
    task = random_task(calm, 4 * batch)
    reference = _margins(task, stack, Execution(bench.device, 1))
    heard = _Halvings()
    logger = logging.getLogger("modeldiff_core")
    logger.addHandler(heard)
    try:
        with _scarce_memory(task, stack, bench):
            found = _margins(task, stack, Execution(bench.device, stack, stack_batch_norm=True))
    finally:
        logger.removeHandler(heard)
    note = "; ".join(sentence.partition(":")[0] for sentence in heard.sentences)
    yield Comparison(f"stack of {stack} that does not fit: launches that were not halved", 1 - bool(note), 0, note)
    yield compared("margins of the halved stack", found, reference, float(reference.std()), TOLERANCE)


def _margins(task: Task, models: int, execution: Execution) -> np.ndarray:
    masks = SubsetSampler(len(task.train), 0.5, 0).masks(range(models))
    with exact_convolutions():
        trained = task.algorithm.train(task.train, CLASSES, masks, range(models), task.seed, execution)
        return np.asarray(output_of("margin", trained.logits(task.targets.images), task.targets.labels))


@contextmanager
def _scarce_memory(task: Task, stack: int, bench: Bench) -> Iterator[None]:
    """Leave less memory than a whole stack takes up, and more than one model does."""
    if not bench.cuda:
        with mock.patch.object(sgd_module, "train_stack", _at_most(stack // 2)):
            yield
        return
    one, all_ = (_reserved(task, models, bench.device) for models in (1, stack))
    index = torch.device(bench.device).index or 0
    total = torch.cuda.get_device_properties(index).total_memory
    _release()
    torch.cuda.set_per_process_memory_fraction((one + 0.4 * (all_ - one)) / total, index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)


def _at_most(models: int) -> Any:
    """Return the stacked trainer for at most `models` models; more raise the error of a full GPU."""

    def limited(recipe: Any, logits: Any, inputs: Any, starts: Any, *rest: Any) -> Any:
        if len(starts) > models:
            raise torch.OutOfMemoryError("CUDA out of memory (raised by the check)")
        return train_stack(recipe, logits, inputs, starts, *rest)

    return limited


def _reserved(task: Task, models: int, device: str) -> int:
    """Return the peak of bytes that torch's allocator held while a stack of `models` models was trained."""
    _release()
    torch.cuda.reset_peak_memory_stats(device)
    _margins(task, models, Execution(device, models, stack_batch_norm=True))
    return int(torch.cuda.max_memory_reserved(device))


def _release() -> None:
    gc.collect()
    torch.cuda.empty_cache()
