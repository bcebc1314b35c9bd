"""Experiments from Python: planned, run and read in this process, without Prefect, Hydra or a server."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from modeldiff_core.experiments.experiment import (
    DEFAULT,
    KIND,
    Experiment,
    Shown,
    data_lines,
    experiment_kind,
    experiments,
    parse_settings,
)
from modeldiff_core.plan import Bar, InProcess, Progress, Survey, run, survey
from modeldiff_core.stages.own_code import check_code, note_code
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.training import Execution

log = logging.getLogger(__name__)

Study = Mapping[str, Any] | BaseModel | str | Path
"""A study as plain values, as validated settings, or as the path of a file that holds one as JSON."""
Root = str | Path | StoreSettings


def open_experiment(study: Study, root: Root = "runs") -> tuple[Experiment, ObjectStore]:
    """Resolve a study against its data and a store.

    Args:
        study: The study; plain values name their experiment under ``experiment``, a comparison needs not.
        root: A folder, an fsspec URL, or settings of a store.

    Returns:
        The experiment as far as its rounds have come, and the store.

    Raises:
        ConfigError: For a study that is not valid or names what is not there.
    """
    content = _content(study)
    cls = experiments().get(experiment_kind(content))
    settings = root if isinstance(root, StoreSettings) else StoreSettings(str(root))
    store = ObjectStore(settings)
    return cls.of(parse_settings(cls.settings, content), store).now(store), store


def run_study(
    study: Study,
    root: Root = "runs",
    *,
    execution: Execution | None = None,
    progress: Progress | None = None,
    accept_code: bool = False,
) -> Shown:
    """Run what the store lacks of a study and return what was found.

    The same study gives the same keys and bits as ``modeldiff run``; interrupted at any moment, the same call goes on.
    The table of the data and warnings go to this module's log before anything is computed.

    Args:
        study: See ``open_experiment``.
        root: See ``open_experiment``.
        execution: The device and how to use it; the CPU if not given.
        progress: What shows the progress; a bar for each wave on standard error if not given.
        accept_code: Keep results that a user's own parts (algorithms, estimators, experiments, ...) computed with other
            code.

    Raises:
        ConfigError: Before anything is computed, for a study that cannot give a result.
        RunFailed: For steps that failed for good, by name.
    """
    experiment, store = open_experiment(study, root)
    warnings = experiment.check()
    log.info("\n".join(["Data", *data_lines(experiment)]))
    for warning in warnings:
        log.warning(warning)
    check_code(experiment, store, accept_code)
    plan = note_code(experiment, store, accept_code)
    run(plan, store, InProcess(store, execution or Execution()), progress or Bar())
    experiment.now(store).refresh(store)
    return experiment.shown(store)


def status_of(study: Study, root: Root = "runs") -> Survey:
    """Return what the store holds of a study."""
    experiment, store = open_experiment(study, root)
    return survey(experiment, store)


def _content(study: Study) -> Mapping[str, Any]:
    if isinstance(study, BaseModel):
        content: dict[str, Any] = study.model_dump(mode="json")
        kinds = (name for name in experiments().names() if experiments().get(name).settings is type(study))
        kind = next(kinds, DEFAULT)
        return content if kind == DEFAULT else {**content, KIND: kind}
    if isinstance(study, Mapping):
        return study
    found: dict[str, Any] = json.loads(Path(study).read_text("utf-8"))
    whole: dict[str, Any] = found["study"] if isinstance(found.get("study"), dict) else found
    return whole
