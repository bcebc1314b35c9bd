"""The experiment ``component_contrast``: where in the networks of A and of B the effect of a transformation is made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from modeldiff_core.data.inventory import Inventory
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.component_contrast.agreement import agreement
from modeldiff_core.experiments.component_contrast.named import Named
from modeldiff_core.experiments.component_contrast.present import contrast_findings, contrast_tables, spectrum_plot
from modeldiff_core.experiments.component_contrast.settings import ContrastStudy
from modeldiff_core.experiments.components.baselines import FOLDER
from modeldiff_core.experiments.components.experiment import SECONDS_A_ROW, ComponentAttribution
from modeldiff_core.experiments.components.parts import Parts
from modeldiff_core.experiments.components.settings import check_components
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.plan import Label, Step, Wave, later
from modeldiff_core.report.figures import Plot
from modeldiff_core.responses.effect_networks import PREFIX, EffectNetwork
from modeldiff_core.responses.networks import TrainedNetwork
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.stages.gram import gram_steps
from modeldiff_core.stages.regress import block_steps, record_steps
from modeldiff_core.stages.shards import shard_steps
from modeldiff_core.store import ObjectStore


@dataclass(frozen=True)
class ComponentContrast(OnePage):
    """Attribution of a transformation's effect to components of A and of B."""

    study: ContrastStudy
    kind: ClassVar[str] = "component_contrast"
    version: ClassVar[int] = 2  # 2: the summary says how far networks agree
    settings: ClassVar[type[BaseModel]] = ContrastStudy

    @classmethod
    def of(cls, study: ContrastStudy, store: ObjectStore) -> "ComponentContrast":
        """Find the components of both; raises ConfigError for a selection that finds none."""
        if study.dataset is None or study.algorithm is None or study.weights != "trained" or study.ablation.adaptive:
            raise ConfigError(
                "algorithm", "two algorithms that are trained on one data set, without rounds", study.weights
            )
        experiment = cls(study)
        counts = {side: next(iter(parts.values())).count for side, parts in experiment.parts.items()}
        if counts["a"] != counts["b"]:
            raise ConfigError("algorithm_b", f"an architecture with A's {counts['a']} components", counts["b"])
        return experiment

    @cached_property
    def sides(self) -> dict[str, ComponentAttribution]:
        """The attribution experiments of A and B."""
        study = self.study
        assert study.algorithm is not None
        both = {"a": study.algorithm, "b": study.algorithm_b}
        return {side: ComponentAttribution(study.of(algorithm)) for side, algorithm in both.items()}

    @cached_property
    def parts(self) -> dict[str, dict[int, Parts]]:
        """The parts of each network of each side, by its number."""
        return {
            side: {
                number: Parts(one.study, EffectNetwork(TrainedNetwork(one.training, number), self.study.effect))
                for number in self.study.networks
            }
            for side, one in self.sides.items()
        }

    @property
    def folders(self) -> tuple[str, ...]:
        homes = [parts.fitted.home for side in self.parts.values() for parts in side.values()]
        prefixes = [side.training.prefix for side in self.sides.values()]
        return (self.folder, *dict.fromkeys([*homes, *prefixes]))

    @property
    def shared(self) -> tuple[str, ...]:
        return GRAMS, FOLDER

    def inventories(self) -> tuple[Inventory, ...]:
        """Return what the dataset holds, which is A's and B's."""
        return (self.sides["a"].data.inventory,)

    def check(self) -> list[str]:
        training = self.sides["a"].training
        for side in self.sides.values():
            side.training.task().algorithm.check(side.data.image_shape, len(side.data.classes))
        parts = next(iter(self.parts["a"].values()))
        assert isinstance(parts.network, EffectNetwork)
        eligible = len(parts.network.eligible())
        if self.study.attributed >= eligible:
            expected = f"fewer than the {eligible} test images of other classes, of which the rest measure"
            raise ConfigError("attributed", expected, self.study.attributed)
        return check_components(self.study, training.targets, parts.count)

    def named(self) -> dict[int, Named]:
        """Return the named components of each network of A."""
        asked, rows = self.study, self.study.ablation.rows
        return {
            number: Named(
                (self.parts["a"][number].ablated, self.parts["b"][number].ablated),
                (self.parts["a"][number].regression(rows), self.parts["b"][number].regression(rows)),
                asked.limit,
                asked.most,
                asked.wished,
                asked.ablation.seed,
            )
            for number in asked.networks
        }

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        training = [step for side in self.sides.values() for step in side.training_wave().steps]
        yield Wave("training", tuple({step.reference: step for step in training}.values()), noun="shards", verb="train")
        shards, gathered, rows = list[Step](), list[Step](), self.study.ablation.rows
        fits = {}
        for side, numbers in self.parts.items():
            for number, parts in numbers.items():
                words = f"{self.name} {side} network {number}"
                label = Label(f"{side}, network {number}: ablations", "ablate", ("shard",), "rows")
                shards += shard_steps(parts.fitted, rows, f"{words} ablations", label, SECONDS_A_ROW)
                gathered.append(parts.gathered(rows).step(f"{words} gathered", Label("matrices")))
                fits[words] = parts.regression(rows)
        yield Wave("ablating", tuple(shards), noun="shards")
        yield Wave("gathering effects", tuple(gathered))
        yield later("counting masks", "the effects are gathered", lambda: gram_steps(store, fits, Label("counts")))
        yield Wave("regression", block_steps(fits, Label("blocks of weights", "regress")))
        yield Wave("completing weights", record_steps(fits, Label("weights")))
        label = Label("named components", "name")
        steps = (named.step(f"{self.name} named {number}", label) for number, named in self.named().items())
        yield Wave("naming components", tuple(steps))

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        records = [named.read(store) for named in self.named().values()]
        components = next(iter(self.parts["a"].values())).ablated.components
        sizes = {side: np.abs([record["weights"][side] for record in records]) for side in "ab"}
        layers = [
            {
                "layer": layer.module.removeprefix(PREFIX),
                "components": layer.count,
                **{
                    side: [float(row[components.within(at)].sum() / (row.sum() or 1)) for row in values]
                    for side, values in sizes.items()
                },
            }
            for at, layer in enumerate(components.layers)
        ]
        spectra = {side: np.sort(values, axis=1)[:, ::-1].tolist() for side, values in sizes.items()}
        networks = [
            {
                "network": number,
                "names": [name.removeprefix(PREFIX) for name in record["names"]],
                **{name: record[name] for name in ("a", "b", "random")},
            }
            for number, record in zip(self.study.networks, records, strict=True)
        ]
        return {
            "effect": self.study.effect.name,
            "count": len(components),
            "networks": networks,
            "layers": layers,
            "spectra": spectra,
            "agreement": {
                "layers": agreement({side: np.array([one[side] for one in layers]).T for side in "ab"}),
                "sizes": agreement({side: np.array(rows) for side, rows in spectra.items()}),
            },
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        assert self.study.algorithm is not None
        names = {"a": self.study.algorithm.name, "b": self.study.algorithm_b.name}
        title = f"Where in the network: {summary['effect']}, {names['a']} against {names['b']}"
        return Shown(title, contrast_findings(summary, names), contrast_tables(summary, names))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return {"Sizes of the components' weights, largest first": spectrum_plot(summary)}
