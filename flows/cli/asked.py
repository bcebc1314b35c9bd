"""From a verb and its overrides to an experiment and its store."""

import sys
from collections.abc import Sequence
from pathlib import Path

from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.store import ObjectStore
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.cli.grid import grid, swept
from modeldiff_platform.flows.request import Request
from modeldiff_platform.flows.resolve import experiment_of


def asked_for(overrides: Sequence[str], kind: str = "") -> Request:
    """Return the request of a verb: a sweep where overrides list values, else one study.

    kind: the experiment that the verb stands for; empty for that of the study.
    """
    if kind == "sweep" or swept(overrides):
        return grid(overrides, "" if kind == "sweep" else kind)
    return request(overrides, kind)


def so_far(overrides: Sequence[str], kind: str = "") -> tuple[Request, Experiment, ObjectStore]:
    """Return the request, the experiment as far as its rounds have come, and the store."""
    asked = asked_for(overrides, kind)
    store = ObjectStore(asked.store)
    store.check()
    if asked.store.url.startswith("file://") and not (folder := Path(store.path(""))).is_dir():
        print(f"modeldiff: warning: there is no folder {folder} yet", file=sys.stderr)
    return asked, experiment_of(asked).now(store), store


def headline(experiment: Experiment, store: ObjectStore) -> str:
    """Return the line that every verb begins with."""
    return f"study {experiment.name}, digest {experiment.digest[:8]}, in {store.settings.url}"
