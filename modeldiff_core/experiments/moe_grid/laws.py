"""The losses of a grid as the runs that laws are fitted to."""

from typing import TYPE_CHECKING

import numpy as np

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.moe_grid.summarize import cell_rows
from modeldiff_core.experiments.moe_grid.table import runs_of
from modeldiff_core.experiments.reported import StudySpec
from modeldiff_core.experiments.scaling.fits import Fits
from modeldiff_core.plan import Label, RecordedFailure, Step
from modeldiff_core.scaling.forms import law_forms
from modeldiff_core.scaling.law import Options, fit_law
from modeldiff_core.scaling.runs import Runs
from modeldiff_core.store import ObjectStore
from modeldiff_core.training.moe import parameters

if TYPE_CHECKING:
    from modeldiff_core.experiments.moe_grid.experiment import Scaling


def check_fits(experiment: "Scaling", fits: Fits) -> None:
    """Raise ConfigError if the grid, were all of its runs to end, has too few sizes or sparsities for the laws."""
    rate, rows = experiment.study.learning_rates[0], list[tuple[float, ...]]()
    for cell in experiment.cells.all:
        one = cell.training(rate, 0)
        size = parameters(cell.network)
        loss = 1 + (size * (1 - 0.5 * cell.network.sparsity)) ** -0.1 + one.tokens**-0.1
        rows.append((size, one.tokens, cell.network.sparsity, one.flops, loss, cell.network.granularity))
    columns = np.array(rows, float).T
    names = "parameters", "tokens", "sparsity", "flops", "loss", "granularity"
    try:
        _fit(Runs.of(dict(zip(names, columns, strict=True))), fits)
    except ConfigError as error:
        hint = f"{error.hint} fits=null trains the grid without laws".strip()
        raise ConfigError(error.key, error.expected, error.got, hint) from error


def _fit(runs: Runs, fits: Fits) -> None:
    for name in fits.asked.laws:
        fit_law(runs, law_forms().get(name), Options(draws=0))


def collecting(experiment: "Scaling", store: ObjectStore, fits: Fits) -> Step:
    """Return the step that puts the runs of the grid into one table."""
    needs = tuple(one.product.reference for cell in experiment.cells.all for one in experiment.runs(store, cell))
    spec, label = StudySpec.of(experiment), Label("tables", "collect")
    return Step(f"table of {experiment.name}", fits.runs.product, collect_runs, spec, needs, label)


def collect_runs(store: ObjectStore, spec: StudySpec) -> None:
    """Write the runs at the chosen rates; raises RecordedFailure where too few are left for the laws."""
    experiment: Scaling = spec.experiment(store)
    fits = experiment.fits
    assert fits is not None
    cells = [cell_rows(experiment, store, cell) for cell in experiment.cells.all]
    try:
        runs = runs_of({"cells": cells})
        _fit(runs, fits)
    except ConfigError as error:
        raise RecordedFailure(f"no law can be fitted: {error}") from error
    fits.runs.write(store, runs)
