"""A study of components in a second or two, in one process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modeldiff_core.experiments.components.experiment import ComponentAttribution
from modeldiff_core.experiments.run import open_experiment
from modeldiff_core.plan import InProcess, Outcome, Step, Wave, run
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution

TINY: dict[str, Any] = {
    "experiment": "components",
    "name": "tiny",
    "dataset": {"kind": "digits", "n_train": 300, "n_test": 60, "seed": 0, "plant": None},
    "algorithm": {
        "name": "CNN",
        "kind": "sgd",
        "seed": 1,
        "recipe": {"epochs": 6, "batch_size": 25, "learning_rate": 0.05, "network": {"kind": "cnn", "widths": [6, 10]}},
    },
    "ensemble": {"models": 2, "shard_size": 2},
    "networks": [0, 1],
    "attributed": 24,
    "ablation": {"alpha": 0.2, "rows": 100, "tests": [0.1, 0.2], "test_rows": 40, "shard_size": 40},
}
"""Two networks of 16 filters."""


def opened(root: Path, **changes: Any) -> tuple[ComponentAttribution, ObjectStore]:
    """Return the study, with changed settings, and its store."""
    experiment, store = open_experiment({**TINY, **changes}, root)
    assert isinstance(experiment, ComponentAttribution)
    return experiment, store


def make(experiment: ComponentAttribution, store: ObjectStore, most: int | None = None) -> list[str]:
    """Run a study in this process; return the names of the steps carried out. most: steps before an interruption."""
    made: list[str] = []
    in_process = InProcess(store, Execution())

    def submit(
        wave: Wave, steps: Sequence[Step], done: Callable[[Step], None], complete: Sequence[Step] = ()
    ) -> Outcome:
        def noted(step: Step) -> None:
            made.append(step.name)
            if len(made) == most:
                raise KeyboardInterrupt
            done(step)

        return in_process(wave, steps, noted, complete)

    run(experiment, store, submit)
    return made
