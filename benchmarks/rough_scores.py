"""Measure how well held-out models of a rough training are predicted with derivatives: its own, and of a smoother copy.

    OMP_NUM_THREADS=1 python -m benchmarks.rough_scores [--folder DIR] [--rates 0.02 0.1]

Rules, written before it ran. fashion_watermark as shipped (1,000 training examples, 1,000 targets, MLP, peak rate 0.1,
where derivatives say little of a change of the training set), and the same at a peak rate of 0.02, where they say much.
For each rate the folder keeps, so that a run that was stopped goes on: margins of 6,000 subset models and of five seeds
on each of 100 held-out masks, and dense rows of 16 trainings (reverse products of all targets). One thread.

- Scores: mean over targets of the rank correlation over the 100 held-out masks, against the models of one seed (mean of
  five) and against the mean of five, with 95 % intervals for new masks and targets and the ceiling that seeds allow
  (``modeldiff_core.evaluation.reliability``). Differences of two scores on the same masks and targets likewise.
- Predictions: rows of 1, 4 and 16 trainings, their mean; the median of each weight over 16 (a robust mean); lasso from
  1,500, 3,000 and 6,000 models; lasso from 1,500 with rows of 4 and of 16 trainings as prior, and from 3,000 and 6,000
  with 16. At rate 0.1 each also with rows of the copy at 0.02. All settings as shipped; nothing is chosen on scores.
- Cost: CPU seconds as measured here, in subset models of the same rate by the fastest engine.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import process_time

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import stdtrit

from benchmarks.metagradients import HELD_OUT, ROWS, STACK, Study, held_out, study_of
from modeldiff_core.datamodels import fit_lasso
from modeldiff_core.evaluation.reliability import PARTS, Measured, reliability
from modeldiff_core.metagradients import reverse_products
from modeldiff_core.stages.regress import without_prior
from modeldiff_core.statistics import rank_correlation
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, train_subset_models
from modeldiff_core.training.devices import fast_arithmetic

MODELS, TRAININGS, PRIOR_MODELS = 6000, 16, 1500
ROUGH, SMOOTH = 0.1, 0.02
Weights = Float[np.ndarray, "targets train"]


@dataclass(frozen=True)
class Bank:
    """What one rate's folder keeps."""

    rate: float
    folder: Path

    @cached_property
    def study(self) -> Study:
        """Data and tasks."""
        return study_of("mlp", self.rate, "fashion")

    def _kept(self, name: str, make: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
        """Return an array and the CPU seconds that it took, made now if it is not there."""
        file = self.folder / f"{self.rate}-{name}.npz"
        if not file.exists():
            began = process_time()
            made = make()
            took = process_time() - began
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part.npz")
            np.savez(part, made=made, seconds=took)
            part.replace(file)
            print(f"{file.name}: {took:.1f} CPU s", flush=True)
        with np.load(file) as found:
            return found["made"], float(found["seconds"])

    @cached_property
    def held_out(self) -> tuple[np.ndarray, Float[np.ndarray, "seeds models targets"]]:
        """Masks and margins that nothing is fitted on."""
        masks = SubsetSampler(self.study.train, 0.5, 7).masks(range(HELD_OUT))
        return masks, self._kept("held", lambda: held_out(self.study, self.study.a)[1])[0]

    @cached_property
    def trained(self) -> tuple[np.ndarray, Float[np.ndarray, "models targets"], float]:
        """Masks and margins of all subset models, and the CPU seconds of one."""
        masks, parts, spent = SubsetSampler(self.study.train, 0.5, 0).masks(range(MODELS)), [], 0.0
        for at in range(0, MODELS, STACK):
            span = range(at, at + STACK)
            made, took = self._kept(
                f"models-{at:05d}",
                lambda span=span: (
                    train_subset_models(self.study.a, masks[span.start : span.stop], span, Execution()).margins
                ),
            )
            parts.append(made)
            spent += took
        return masks, np.concatenate(parts), spent / MODELS

    @cached_property
    def rows(self) -> tuple[list[Weights], float]:
        """Rows of each training, and the CPU seconds of one training's."""
        found, spent = [], 0.0
        for number in range(TRAININGS):
            made, took = self._kept(f"rows-{number:02d}", lambda number=number: self._rows(number))
            found.append(made)
            spent += took
        return found, spent / TRAININGS

    def _rows(self, number: int) -> Weights:
        trajectory = self.study.trajectory(self.study.a, number)
        parts = torch.eye(len(self.study.data.test)).split(ROWS)
        return np.concatenate([np.asarray(reverse_products(trajectory, part)) for part in parts])


@dataclass(frozen=True)
class Prediction:
    """Predicted margins on the held-out masks, up to a constant of each target, and the CPU seconds behind them."""

    name: str
    values: Float[np.ndarray, "masks targets"]
    seconds: float


def predictions(bank: Bank, copy: Bank | None) -> Iterator[Prediction]:
    """Yield every prediction of a rate; copy: the smoother one whose rows are tried, too."""
    masks, margins, each = bank.trained
    held = bank.held_out[0].astype(np.float32)
    fitted: dict[int, Prediction] = {}
    for count in (PRIOR_MODELS, MODELS // 2, MODELS):
        began = process_time()
        weights = fit_lasso(masks[:count], margins[:count]).weights
        spent = count * each + process_time() - began
        fitted[count] = Prediction(f"lasso, {count:,} models", held @ weights.T, spent)
        yield fitted[count]
    for source, words in ((bank, "rows"), (copy, f"rows at {SMOOTH}")):
        if source is None:
            continue
        rows, one = source.rows
        means = {count: np.mean(rows[:count], axis=0) for count in (1, 4, TRAININGS)}
        for count, mean in means.items():
            yield Prediction(f"{words} of {count}", held @ mean.T, count * one)
        yield Prediction(f"{words} of {TRAININGS}, median", held @ np.median(rows, axis=0).T, TRAININGS * one)
        for count, models in ((4, PRIOR_MODELS), *((TRAININGS, many) for many in fitted)):
            began = process_time()
            factors, left = without_prior(masks[:models], margins[:models], means[count])
            weights = fit_lasso(masks[:models], left).weights + factors[:, None] * means[count]
            spent = count * one + models * each + process_time() - began
            yield Prediction(f"lasso, {models:,} models, prior of {count} {words}", held @ weights.T, spent)


def difference(a: np.ndarray, b: np.ndarray, truth: Float[np.ndarray, "masks targets"]) -> Measured:
    """Return the score of a less that of b with its interval, by the jackknife of ``reliability``."""

    def apart(rows: np.ndarray, columns: np.ndarray) -> float:
        part = np.ix_(rows, columns)
        one, other = (rank_correlation(each[part].astype(float), truth[part]).mean() for each in (a, b))
        return float(one - other)

    everyone, variance = [np.arange(size) for size in truth.shape], 0.0
    for axis, size in enumerate(truth.shape):
        groups = np.array_split(np.random.default_rng(0).permutation(size), PARTS)
        kept = [np.setdiff1d(everyone[axis], group) for group in groups]
        left = np.array([apart(*(chosen, everyone[1]) if axis == 0 else (everyone[0], chosen)) for chosen in kept])
        variance += (PARTS - 1) / PARTS * np.square(left - left.mean()).sum()
    value, reach = apart(*everyone), float(stdtrit(PARTS - 1, 0.975)) * variance**0.5
    return Measured(value, value - reach, value + reach)


def score(bank: Bank, copy: Bank | None) -> None:
    """Print a rate's table, and what each prediction has beyond the lasso from 3,000 and 6,000 models."""
    margins = bank.held_out[1]
    seeds = np.ascontiguousarray(margins.transpose(1, 0, 2))
    truth = margins.mean(0, dtype=np.float64)
    each = bank.trained[2]
    print(
        f"\npeak rate {bank.rate}, an equivalent is {1000 * each:.2f} ms\n| from | one seed | mean of five |", end=" "
    )
    print(f"less lasso {MODELS // 2:,} | less lasso {MODELS:,} | CPU s, equivalents |\n{'|---' * 6}|")
    ceiling, lassos = "", dict[int, np.ndarray]()
    for one in predictions(bank, copy):
        for count in (MODELS // 2, MODELS):
            if one.name == f"lasso, {count:,} models":
                lassos[count] = one.values
        found = reliability(one.values, seeds)
        assert found is not None
        ceiling = f"ceilings: one seed {_told(found.ceiling_one)}, mean of five {_told(found.ceiling_mean)}"
        apart = [_told(difference(one.values, values, truth), "+") for values in lassos.values()]
        cells = [_told(found.one), _told(found.mean), *apart, *("",) * (2 - len(apart))]
        print(f"| {one.name} | {' | '.join(cells)} | {one.seconds:.0f}, {one.seconds / each:,.0f} |", flush=True)
        record = {"rate": bank.rate, "name": one.name, "mean": found.mean.value, "seconds": one.seconds}
        with (bank.folder / "scores.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    print(ceiling)


def _told(one: Measured, sign: str = "") -> str:
    return f"{one.value:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def main() -> None:
    """Make what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("rough_scores"))
    parser.add_argument("--rates", nargs="*", type=float, default=[SMOOTH, ROUGH])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    banks = {rate: Bank(rate, asked.folder) for rate in asked.rates}
    with fast_arithmetic(torch.device("cpu")):
        for rate, bank in banks.items():
            score(bank, banks.get(SMOOTH) if rate == ROUGH else None)


if __name__ == "__main__":
    main()
