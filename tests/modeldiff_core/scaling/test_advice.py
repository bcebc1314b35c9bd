"""Advice: predicted widths are those of refits, and the chosen cells beat the grid."""

import numpy as np
import pytest

from harness.planted_laws import Planted
from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.advice import Cells, Target, advise
from modeldiff_core.scaling.law import FittedLaw, Options, fit_law
from modeldiff_core.scaling.optima import Window, best_sparsity

TARGET = Target(2e9, 1e20)


def width(runs: Runs) -> float:
    law = fit_law(runs, options=Options(draws=80))
    found = best_sparsity(law, np.array([TARGET.parameters]), np.array([TARGET.flops]), Window.of(runs))
    return float(found.best.width[0])


def test_the_advised_runs_do_what_was_predicted_for_less(planted_runs: Runs, planted_law: FittedLaw) -> None:
    advice = advise(planted_law, planted_runs, [TARGET], Cells.grid(planted_runs), 0.6)
    advised, uniform = advice.cost(0.6)
    assert 0 < advised < 0.6 * uniform
    share = advice.share()
    assert (np.diff(share) < 0).all()
    assert share[0] == 1
    cells = np.repeat(advice.chosen, advice.runs)
    n, s, c = advice.cells.parameters[cells], advice.cells.sparsity[cells], advice.cells.flops[cells]
    assert c.sum() == pytest.approx(advice.flops[-1])
    more = Planted().runs(np.stack([n, s, c], 1), 0.004, np.random.default_rng(5))
    names = ("parameters", "tokens", "sparsity", "flops", "loss")
    both = Runs(**{name: np.concatenate([getattr(planted_runs, name), getattr(more, name)]) for name in names})
    assert width(both) < 0.8 * width(planted_runs)
    assert advice.widths[0, 0] == pytest.approx(width(planted_runs), rel=0.4)


def test_a_loss_can_be_the_answer_and_counts_add_up(planted_runs: Runs, planted_law: FittedLaw) -> None:
    target = Target(1e10, 3e21, 0.9)
    advice = advise(planted_law, planted_runs, [target, TARGET], Cells.grid(planted_runs), 0.7)
    assert advice.widths.shape[1] == 2
    assert (advice.widths[-1] < advice.widths[0]).all()
    assert sum(count for _, count in advice.counts(len(advice.chosen))) == advice.runs * len(advice.chosen)
    assert "loss at N = 1e+10" in target.words()


def test_nothing_wanted_is_refused(planted_runs: Runs, planted_law: FittedLaw) -> None:
    with pytest.raises(ConfigError, match="at least one answer"):
        advise(planted_law, planted_runs, [], Cells.grid(planted_runs))
