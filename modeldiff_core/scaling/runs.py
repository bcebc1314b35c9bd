"""Runs: what the laws of this package are fitted to, one row a trained model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling.table import read_columns

FACTOR = 4.0
"""By how much the training FLOPs may lie below 6·(1−S)·N·D or above 6·N·D: attention, embeddings and routers count
differently from one study to another, units that are mixed up by a thousand or more."""
LARGEST_LOSS = 14.0
"""Nats per token of a guess among 1.2 million tokens; a table with larger losses holds perplexities or other units."""


@dataclass(frozen=True)
class Runs:
    """Trained models of known size, data, sparsity and cost, and the loss that each ended with.

    Attributes:
        parameters: N, all parameters of a model, those of idle experts among them.
        tokens: D, tokens that it was trained on.
        sparsity: S = (E − K)/E in [0, 1) of K active experts out of E; 0 for a dense model.
        flops: C, floating-point operations of the training.
        loss: Loss on held-out text in nats per token.
        granularity: G, how many times finer the experts are than one feed-forward block; None if not recorded.
        rate: Learning rate; None if not recorded.
        seed: Seed of the run; None if not recorded.
        cell: What a row is called; runs of one cell differ by their seeds alone. Empty if rows have no names.
        notes: What was left out or changed before, a sentence each.

    Raises:
        ConfigError: For columns of different lengths, no runs, values that are not finite or out of range.

    """

    parameters: Float[np.ndarray, " runs"]
    tokens: Float[np.ndarray, " runs"]
    sparsity: Float[np.ndarray, " runs"]
    flops: Float[np.ndarray, " runs"]
    loss: Float[np.ndarray, " runs"]
    granularity: Float[np.ndarray, " runs"] | None = None
    rate: Float[np.ndarray, " runs"] | None = None
    seed: Int[np.ndarray, " runs"] | None = None
    cell: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.loss):
            raise ConfigError("runs", "at least one run", 0)
        for name, values in self.columns().items():
            if len(values) != len(self.loss):
                raise ConfigError(f"runs.{name}", f"{len(self.loss)} values, one a run", len(values))
            if name == "seed":
                continue
            _all(np.isfinite(values), f"runs.{name}", "finite numbers", values)
            if name != "sparsity":
                _all(values > 0, f"runs.{name}", "numbers above 0", values)
        if self.cell and len(self.cell) != len(self.loss):
            raise ConfigError("runs.cell", f"{len(self.loss)} names, one a run", len(self.cell))
        within = (self.sparsity >= 0) & (self.sparsity < 1)
        hint = "S = (E − K)/E of K active experts out of E: at 1 no expert is active. Percent are divided by 100"
        _all(within, "runs.sparsity", "sparsities in [0, 1)", self.sparsity, hint)

    def __len__(self) -> int:
        return len(self.loss)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of numbers that are there, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in found.items() if isinstance(values, np.ndarray)}

    def take(self, rows: Int[np.ndarray, " rows"] | Bool[np.ndarray, " runs"]) -> "Runs":
        """Return some of the runs, or some of them again and again."""
        numbers = np.arange(len(self))[rows]
        cell = tuple(self.cell[number] for number in numbers) if self.cell else ()
        return replace(self, cell=cell, **{name: values[numbers] for name, values in self.columns().items()})

    def check_units(self, factor: float = FACTOR, vocabulary: int | None = None) -> "Runs":
        """Return the runs; raise ConfigError where N, D and C, or the losses, cannot be in the units of this class.

        C has to lie between 6·(1−S)·N·D/factor and 6·N·D·factor; losses up to that of a guess, ln `vocabulary`.
        """
        dense = 6 * self.parameters * self.tokens
        low, high = (1 - self.sparsity) * dense / factor, dense * factor
        wrong = (self.flops < low) | (self.flops > high)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ConfigError(
                "runs.flops",
                f"C between 6·(1−S)·N·D/{factor:g} and 6·N·D·{factor:g}, {low[row]:.3g} to {high[row]:.3g} FLOPs in "
                f"row {row + 1}",
                float(self.flops[row]),
                f"So {int(wrong.sum())} of {len(self)} rows. {_units(self, row)}",
            )
        most = LARGEST_LOSS if vocabulary is None else math.log(vocabulary)
        hint = "Losses are cross-entropies in nats per token: a perplexity's logarithm, bits times ln 2"
        _all(self.loss <= most, "runs.loss", f"losses up to {most:.4g} nats, those of a guess", self.loss, hint)
        return self

    @classmethod
    def of(cls, columns: Mapping[str, np.ndarray | None], notes: tuple[str, ...] = ()) -> "Runs":
        """Return runs of columns by the names of the attributes."""
        names = columns.get("cell")
        text = {} if names is None else {"cell": tuple(map(str, names))}
        numbers = {
            name: np.asarray(values, np.int64 if name == "seed" else np.float64)
            for name, values in columns.items()
            if values is not None and name != "cell"
        }
        return cls(**numbers, **text, notes=notes)  # type: ignore[arg-type]

    @classmethod
    def from_csv(cls, path: str | Path, factor: float = FACTOR, vocabulary: int | None = None) -> "Runs":
        """Return the runs of a CSV file with a header; see ``docs/scaling.md`` for its columns, `check_units` for both.

        Rows with a loss that is no number (diverged runs) and rows that repeat another in every column are left out
        and counted in `notes`.

        Raises:
            ConfigError: For a file that cannot be read, missing or ambiguous columns, and units that are mixed up.

        """
        columns, notes = read_columns(path)
        return cls.of(columns, notes).check_units(factor, vocabulary)


def _all(holds: np.ndarray, key: str, expected: str, values: np.ndarray, hint: str = "") -> None:
    """Raise ConfigError with the first value for which it does not hold, its row from 1, and how many there are."""
    if not holds.all():
        row = int(np.flatnonzero(~holds)[0])
        told = f"row {row + 1} of {len(holds)}, and {int((~holds).sum())} such rows in all"
        raise ConfigError(key, expected, float(values[row]), f"So in {told}. {hint}".strip().rstrip("."))


def _units(runs: Runs, row: int) -> str:
    """Return a guess at which unit is at fault in a row whose C is not what its N and D cost."""
    for name, values, unit in (("N", runs.parameters, "parameters"), ("D", runs.tokens, "tokens")):
        if values[row] < 3000:
            return f"{name} = {values[row]:g} {unit} looks like thousands, millions or billions: give it as it is"
    ratio = runs.flops[row] / (6 * (1 - runs.sparsity[row]) * runs.parameters[row] * runs.tokens[row])
    return f"C is {ratio:.3g} times 6·(1−S)·N·D: is it in other units than FLOPs, or D in sequences?"
