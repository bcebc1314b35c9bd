"""Responses of a network whose components are ablated: a row lacks some of them, every target's output is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from modeldiff_core.ablation import (
    Components,
    FillKind,
    Precision,
    Reference,
    Selection,
    Subject,
    ablated_outputs,
    check_bfloat16,
    find_components,
    subject_of,
)
from modeldiff_core.designs import Design
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import digest, plain
from modeldiff_core.plan import Product
from modeldiff_core.responses.networks import Network, Opened
from modeldiff_core.responses.products import RowShard
from modeldiff_core.responses.responses import Named
from modeldiff_core.store import ObjectStore, Shard, write_shard
from modeldiff_core.training import Execution

VERSION = 1


@dataclass(frozen=True)
class Ablated:
    """What is ablated, by what, and whose output is recorded.

    Attributes:
        network: The network.
        selections: Its components.
        fill: What takes their place.
        targets: The first so many of its targets.
        output: The name of the output.
        memory_mb: Megabytes of activations in one launch; no part of what the outputs are.
        precision: What the outputs of ablations are computed in.

    """

    network: Network
    selections: tuple[Selection, ...]
    fill: FillKind
    targets: int
    output: str
    memory_mb: int = 64
    precision: Precision = "float32"

    @cached_property
    def components(self) -> Components:
        """The components, found in the network's structure."""
        return find_components(self.network.structure(), self.selections)

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What decides every output, the components' names and sizes among it."""
        return {
            "version": VERSION,
            "network": self.network.identity,
            "components": plain(self.components),
            "fill": self.fill,
            "targets": self.targets,
            "output": self.output,
            **({} if self.precision == "float32" else {"precision": self.precision}),
        }

    @cached_property
    def digest(self) -> str:
        """Digest of the identity."""
        return digest(self.identity)

    def open(self, store: ObjectStore, execution: Execution) -> tuple[Subject, Opened]:
        """Return the network ready for ablation.

        Raises:
            ConfigError: If the network's own output of a target is not finite, so that no
                ablation's effect can be measured.

        """
        opened = self.network.open(store, self.targets, self.output, execution)
        reference = Reference(opened.probes.inputs if self.fill == "resample" else opened.reference)
        subject = subject_of(opened.net, self.components, self.fill, reference)
        whole = ablated_outputs(subject, opened.probes, np.ones((1, len(self.components)), dtype=bool))[0]
        wrong = np.flatnonzero(~np.isfinite(whole))
        if len(wrong):
            named = ", ".join(str(target) for target in wrong[:10])
            expected = f"targets whose {self.output} is finite before anything is ablated"
            hint = "The network gives NaN or infinite values: look at its weights and at these images"
            raise ConfigError("attributed", expected, f"{len(wrong)} that are not: {named}", hint)
        return subject, opened


@dataclass(frozen=True)
class Ablations(Named):
    """The outputs of a network without some of its components, for each row of a design.

    Attributes:
        name: What the folder of these responses is called, for people.
        ablated: The network and its components, which are the design's units.
        design: Which components each row has.
        shard_size: Rows that are made together.

    """

    name: str
    ablated: Ablated
    design: Design
    shard_size: int = 200
    kind: Literal["ablations"] = "ablations"

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        return {"ablated": self.ablated.identity, "design": plain(self.design), "shard_size": self.shard_size}

    @property
    def targets(self) -> int:
        return self.ablated.targets

    def product(self, index: int) -> Product:
        return RowShard.of(self, index)

    def make(self, store: ObjectStore, index: int, execution: Execution) -> None:
        subject, opened = self.ablated.open(store, execution)
        masks = self.design.masks(self.rows(index))
        if self.ablated.precision == "bfloat16":
            check_bfloat16(subject, opened.probes, masks)
        memory = self.ablated.memory_mb * 2**20
        outputs = ablated_outputs(subject, opened.probes, masks, memory, self.ablated.precision)
        failed = ~np.isfinite(outputs).all(1)
        shard = Shard(self.rows(index).start, masks, np.where(failed[:, None], 0, outputs), failed)
        write_shard(store, self.folder, index, shard, self.identity)
