"""The experiment ``leakage``: the share of the largest attributions on values that tell nothing of the class."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from pydantic import BaseModel

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.featured.data import featured_of, fingerprint_of
from modeldiff_core.experiments.featured.intervals import interval_of, words
from modeldiff_core.experiments.featured.networks import FOLDER, Trained
from modeldiff_core.experiments.leakage.measures import Leaked, kept_values
from modeldiff_core.experiments.leakage.settings import LeakageStudy
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.plan import Step, Wave
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.report.figures import SMALL, Plot, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.store import ObjectStore
from modeldiff_core.training.input_attributions import method_of

MEASURES = "outside", "first", "last", "accuracy"
LEAKS = 0.05
"""Share outside the signal above which a finding calls it a leak, if the whole interval lies above it."""
LEARNED = 0.05
"""Accuracy above chance up to which networks have learned nothing, and where their gradients lie says nothing."""


@dataclass(frozen=True)
class Leakage(OnePage):
    """Whether large input gradients lie on what tells the class (arXiv 2102.12781, section 5)."""

    study: LeakageStudy
    kind: ClassVar[str] = "leakage"
    settings: ClassVar[type[BaseModel]] = LeakageStudy

    @classmethod
    def of(cls, study: LeakageStudy, store: ObjectStore) -> "Leakage":
        """Return the experiment; raises ConfigError for a feature, a method or an attack that there is not."""
        for name, dataset in study.datasets.items():
            data = featured_of(dataset)
            data.test.check([study.signal], "signal")
            if not data.complexity[study.signal]:
                raise ConfigError("signal", f"a feature that tells the class of {name}", study.signal)
            data.test.pixels(study.signal)
            values = data.test.inputs()[0].size
            if not 1 <= round(study.k * values) < values:
                raise ConfigError(
                    "k", f"a share that keeps 1 to {values - 1} of the {values} values of {name}", study.k
                )
        for method in study.attributions:
            method_of(method)
        experiment = cls(study)
        assert experiment.cells
        return experiment

    @property
    def shared(self) -> tuple[str, ...]:
        return (FOLDER,)

    @cached_property
    def cells(self) -> dict[tuple[str, str, str], Leaked]:
        """What is measured, by the data, the words of the networks, and the attribution."""
        study, found = self.study, dict[tuple[str, str, str], Leaked]()
        for name, dataset in study.datasets.items():
            fingerprint = fingerprint_of(dataset)
            for text, recipe, ensemble in study.networks.cells(study.attacks, "networks"):
                trained = Trained(dataset, fingerprint, recipe, study.seeds, ensemble)
                for method in study.attributions:
                    leaked = Leaked(trained, method, study.signal, study.k, study.examples)
                    found[name, text, method] = leaked
        return found

    def check(self) -> list[str]:
        """Build a network of every cell."""
        for cell in self.cells.values():
            data = featured_of(cell.trained.dataset)
            height, width, channels = data.test.inputs().shape[1:]
            cell.trained.recipe.stack((height, width, channels), len(data.classes))
        few = self.study.seeds < 3
        return [f"seeds: intervals over {self.study.seeds} replicates say little; give 3 or more"] if few else []

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        trained = dict[str, Step]()
        for (name, text, _), cell in self.cells.items():
            trained.setdefault(cell.trained.product.reference.record, cell.trained.step(f"{name}, {text}"))
        yield Wave("training", tuple(trained.values()), noun="cells", verb="train")
        there = {key: cell for key, cell in self.cells.items() if not self._failure(store, cell)}
        steps = tuple(cell.step(f"{', '.join(key)} attributed") for key, cell in there.items())
        yield Wave("attributing", steps, noun="cells", verb="attribute")

    def _failure(self, store: ObjectStore, cell: Leaked) -> str:
        found = read_failure(store, cell.trained.product.reference)
        return str(found["reason"]) if found else ""

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        rows = []
        for (name, text, method), cell in self.cells.items():
            row: dict[str, Any] = {"data": name, "networks": text, "attribution": method}
            row["failure"] = self._failure(store, cell)
            if not row["failure"]:
                arrays = cell.product.read(store)
                row |= {measure: interval_of(arrays[measure].tolist()) for measure in MEASURES}
            rows.append(row)
        values = {name: int(featured_of(one).test.inputs()[0].size) for name, one in self.study.datasets.items()}
        top = {name: kept_values(self.study.k, count) for name, count in values.items()}
        chance = {name: 1 / len(featured_of(one).classes) for name, one in self.study.datasets.items()}
        return {
            "k": self.study.k,
            "values": values,
            "top": top,
            "chance": chance,
            "seeds": self.study.seeds,
            "cells": rows,
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        lines = []
        for row in summary["cells"]:
            where = f"{row['data']}, {row['networks']}, {row['attribution']}"
            chance = summary.get("chance", {}).get(row["data"], 0.0)  # older summaries do not say
            if row["failure"]:
                lines.append(f"{where}: {row['failure']}.")
                continue
            lines.append(
                f"{where}: {words(row['outside'])} of the top {summary['k']:.0%} lies outside the signal: "
                f"{_verdict(row, chance)}; the highest value is the signal's in {words(row['first'])} of the examples, "
                f"the lowest in {words(row['last'])} (accuracy {words(row['accuracy'])})."
            )
        rows = [
            {
                "data": row["data"],
                "networks": row["networks"],
                "attribution": row["attribution"],
                "outside the signal": words(row["outside"]) if not row["failure"] else row["failure"],
                "signal first": words(row["first"]) if not row["failure"] else "",
                "signal last": words(row["last"]) if not row["failure"] else "",
                "accuracy": words(row["accuracy"]) if not row["failure"] else "",
            }
            for row in summary["cells"]
        ]
        text = (
            f"The {summary['k']:.0%} highest values of each example; 95 % intervals over {summary['seeds']} replicates"
        )
        return Shown(f"Attributions of {self.name} outside the signal", tuple(lines), (Table("Leakage", rows, text),))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        shown = {
            key: cell.product.read(store)
            for key, cell in self.cells.items()
            if key[2] == self.study.attributions[0] and not self._failure(store, cell)
        }
        return {f"Size of {self.study.attributions[0]} attributions on test images": pictures(shown)} if shown else {}


def _verdict(row: Mapping[str, Any], chance: float) -> str:
    if row["accuracy"]["mean"] <= chance + LEARNED:
        return "these networks have learned nothing, so it says nothing"
    if row["outside"]["low"] > LEAKS:
        return "it leaks"
    return "it does not leak" if row["outside"]["high"] <= LEAKS else "whether it leaks is undecided"


def pictures(shown: Mapping[tuple[str, str, str], Mapping[str, np.ndarray]]) -> Plot:
    """Return the first test images of each data set and networks, each beside its attributions (darker is larger)."""
    columns = 2 * len(next(iter(shown.values()))["images"])

    def paint(figure: Figure, theme: Theme) -> None:
        grid = figure.subplots(len(shown), columns, squeeze=False)
        for row, ((name, text, _), arrays) in enumerate(shown.items()):
            for at in range(columns):
                axes, number = grid[row][at], at // 2
                values = arrays["scores" if at % 2 else "images"][number].mean(2)
                values = values if len(values) > 1 else np.repeat(values, 3, 0)
                axes.imshow(values, cmap="Greys" if at % 2 else "gray", interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(color=theme.line, linewidth=0.5)
            grid[row][0].set_title(f"{name}, {text}", color=theme.ink, fontsize=SMALL, loc="left")

    return plot(paint, 90 * columns, 150 * len(shown))
