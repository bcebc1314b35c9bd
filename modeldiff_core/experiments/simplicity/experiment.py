"""The experiment ``simplicity``: accuracy with features randomized, for networks of a grid and several seeds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.data.featured import FeaturedData
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import KIND, Shown
from modeldiff_core.experiments.featured.data import featured_of, fingerprint_of
from modeldiff_core.experiments.featured.groups import FeatureSet, feature_sets, rest_of
from modeldiff_core.experiments.featured.networks import FOLDER, Trained
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.experiments.simplicity.measures import Attacked, Measured
from modeldiff_core.experiments.simplicity.needed import Needed
from modeldiff_core.experiments.simplicity.present import findings, randomized_plot, tables
from modeldiff_core.experiments.simplicity.settings import SimplicityStudy
from modeldiff_core.experiments.simplicity.summarize import cell_of, norms_of
from modeldiff_core.identity import digest
from modeldiff_core.plan import Wave
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.report.figures import Plot
from modeldiff_core.store import ObjectStore

FEW = 3
"""Replicates below which an interval says little."""


@dataclass(frozen=True)
class Simplicity(OnePage):
    """Which of several features that tell the class networks rely on (arXiv 2006.07710)."""

    study: SimplicityStudy
    kind: ClassVar[str] = "simplicity"
    settings: ClassVar[type[BaseModel]] = SimplicityStudy

    @classmethod
    def of(cls, study: SimplicityStudy, store: ObjectStore) -> "Simplicity":
        """Return the experiment; raises ConfigError for sets, attacks and networks that there are not."""
        experiment = cls(study)
        assert experiment.sets
        for name in study.evaluation.attacks:
            if name not in study.attacks:
                known = ", ".join(study.attacks) or "nothing, since there are no attacks"
                raise ConfigError("evaluation.attacks", f"one of {known}", name)
        assert experiment.cells
        return experiment

    @property
    def digest(self) -> str:
        settings = self.study.model_dump(mode="json", exclude={"name", KIND})
        if not settings["evaluation"]["norms"]:  # what studies without it are called since before there was the key
            del settings["evaluation"]["norms"]
        return digest({"experiment": self.kind, "version": self.version, "settings": settings})

    @property
    def shared(self) -> tuple[str, ...]:
        return (FOLDER,)

    @cached_property
    def data(self) -> FeaturedData:
        """The data of the first replicate."""
        return featured_of(self.study.dataset)

    @cached_property
    def sets(self) -> tuple[FeatureSet, ...]:
        """The sets of features, the simplest first."""
        return feature_sets(self.data, self.study.feature_sets)

    @cached_property
    def cells(self) -> dict[str, Measured]:
        """The networks of each cell and what is measured of them, by the words of the cell."""
        study = self.study
        attacks = {name: study.attacks[name].attack() for name in study.evaluation.attacks}
        attacked, fingerprint = Attacked(attacks, study.evaluation.examples), fingerprint_of(study.dataset)
        found = {}
        for words, recipe, ensemble in study.networks.cells(study.attacks, "networks"):
            trained = Trained(study.dataset, fingerprint, recipe, study.seeds, ensemble)
            found[words] = Measured(trained, self.sets, attacked)
        return found

    @cached_property
    def controls(self) -> dict[str, Measured]:
        """Networks of the first cell that can learn one set alone, by the set's name, for sets that tell the class."""
        first = next(iter(self.cells.values()))
        return {
            one.name: Measured(
                replace(first.trained, hidden=rest_of(self.data, one.features), ensemble=1), self.sets, Attacked()
            )
            for one in self.sets
            if one.complexity and self.study.controls
        }

    @cached_property
    def needed(self) -> dict[str, dict[str, Needed]]:
        """The norms that are sought, by the words of the cell and the attack; none if they are not asked for."""
        if not self.study.evaluation.norms:
            return {}
        return {
            words: {
                name: Needed(cell.trained, self.sets, attack, self.study.evaluation.examples)
                for name, attack in cell.attacked.attacks.items()
            }
            for words, cell in self.cells.items()
        }

    def check(self) -> list[str]:
        """Build a network of every cell, and say where intervals are wide or nothing can be learned."""
        shape = self.data.test.inputs()[:1].shape[1:]
        for cell in self.cells.values():
            cell.trained.recipe.stack((shape[0], shape[1], shape[2]), len(self.data.classes))
        warnings = []
        if self.study.seeds < FEW:
            warnings.append(f"seeds: intervals over {self.study.seeds} replicates say little; give {FEW} or more")
        if sum(one.complexity > 0 for one in self.sets) < 2:
            warnings.append("feature_sets: fewer than two of them tell the class, so there is nothing to prefer")
        return warnings

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        every = {**self.cells, **{f"control: {name} alone": cell for name, cell in self.controls.items()}}
        steps = {cell.trained.product.reference.record: cell.trained.step(words) for words, cell in every.items()}
        yield Wave("training", tuple(steps.values()), noun="cells", verb="train")
        trained = {f"{words} measured": cell for words, cell in every.items() if not self.failure(store, cell)}
        yield Wave(
            "measuring", tuple(cell.step(words) for words, cell in trained.items()), noun="cells", verb="measure"
        )

        sought = [
            one.step(f"{words}, norm of {attack}")
            for words, norms in self.needed.items()
            if not self.failure(store, self.cells[words])
            for attack, one in norms.items()
        ]
        if sought:
            yield Wave("norms", tuple(sought), noun="cells", verb="seek")

    def failure(self, store: ObjectStore, cell: Measured) -> str:
        """Return why a cell has no networks, empty if nothing is recorded."""
        found = read_failure(store, cell.trained.product.reference)
        return str(found["reason"]) if found else ""

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        def measured(name: str, cell: Measured) -> dict[str, Any]:
            failure = self.failure(store, cell)
            own = {"name": name, "failure": failure, "networks": cell.trained.seeds * cell.trained.ensemble}
            if failure:
                return own
            found = {**own, **cell_of(cell.read(store), self.sets, list(cell.attacked.attacks))}
            sought = self.needed.get(name, {}) if cell is self.cells.get(name) else {}
            if sought:
                found["needed"] = {attack: norms_of(one.read(store), self.sets) for attack, one in sought.items()}
            return found

        return {
            "sets": [
                {
                    "name": one.name,
                    "features": list(one.features),
                    "complexity": one.complexity,
                    "bayes": self.data.bayes_accuracy(one.features),
                    "bayes_rest": self.data.bayes_accuracy(rest_of(self.data, one.features)),
                }
                for one in self.sets
            ],
            "bayes": self.data.bayes_accuracy(self.data.features),
            "chance": 1 / len(self.data.classes),
            "seeds": self.study.seeds,
            "attacks": {
                name: self.study.attacks[name].model_dump(mode="json") for name in self.study.evaluation.attacks
            },
            "cells": [measured(words, cell) for words, cell in self.cells.items()],
            "controls": [measured(name, cell) for name, cell in self.controls.items()],
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        return Shown(f"Features that networks of {self.name} rely on", findings(summary), tables(summary))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return {
            "Accuracy by randomized features": randomized_plot(summary, "accuracy"),
            "Area under the ROC curve by randomized features": randomized_plot(summary, "roc_auc"),
        }
