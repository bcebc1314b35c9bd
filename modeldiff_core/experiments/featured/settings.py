"""Settings of networks on data with known features: the levels of a grid, and named attacks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer

from modeldiff_core.designs import Factor, Grid
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import Settings
from modeldiff_core.training.attacks import Attack, RisingAttack
from modeldiff_core.training.float_stacks import FloatRecipe

NO_ATTACK = "none"


class AttackConfig(Settings):
    """Projected gradient ascent on the loss; see ``training.attacks.Attack``. epsilon is in units of the inputs.

    rise: of networks that are trained against it, share of the steps after which epsilon, which rises from 0, is whole;
    0 trains against all of it from the first step on. It says nothing of attacks on trained networks.
    """

    norm: Literal["l2", "linf"] = "linf"
    epsilon: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)] = 10
    step: Annotated[float, Field(gt=0)] = 0.25
    random_start: bool = False
    rise: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_serializer(mode="wrap")
    def _without_no_rise(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        content = handler(self)
        return content if self.rise else {name: value for name, value in content.items() if name != "rise"}

    def attack(self) -> Attack:
        """Return it as the library takes it, on trained networks."""
        return Attack(self.norm, self.epsilon, self.steps, self.step, self.random_start)

    def trained_against(self) -> Attack:
        """Return the attack that networks are trained against."""
        if not self.rise:
            return self.attack()
        return RisingAttack(self.norm, self.epsilon, self.steps, self.step, self.random_start, self.rise)


Rates = tuple[Annotated[float, Field(gt=0)], ...]
Sizes = tuple[Annotated[int, Field(ge=1)], ...]


class NetworkGrid(Settings):
    """The networks: every combination of the levels is a cell.

    kind: mlp, cnn or lenet. width, depth: of the hidden layers (channels of the convolutions of a cnn). attack: names
    of the study's `attacks` that networks are trained against, 'none' for standard training. ensemble: how many
    networks answer together. steps: of training.
    """

    kind: tuple[Literal["mlp", "cnn", "lenet"], ...] = ("mlp",)
    width: Sizes = (100,)
    depth: Sizes = (2,)
    learning_rate: Rates = (0.1,)
    optimizer: tuple[Literal["sgd", "adam"], ...] = ("sgd",)
    momentum: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.0,)
    weight_decay: tuple[Annotated[float, Field(ge=0)], ...] = (5e-5,)
    batch_size: Sizes = (256,)
    dropout: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.0,)
    attack: tuple[str, ...] = (NO_ATTACK,)
    ensemble: Sizes = (1,)
    steps: Sizes = (6000,)

    def cells(self, attacks: Mapping[str, AttackConfig], key: str) -> Iterator[tuple[str, FloatRecipe, int]]:
        """Yield the words, the recipe and the ensemble of every cell; raises ConfigError for an unknown attack."""
        levels = self.model_dump()
        for name in self.attack:
            if name != NO_ATTACK and name not in attacks:
                raise ConfigError(f"{key}.attack", f"one of {', '.join([NO_ATTACK, *attacks])}", name)
        grid = Grid(tuple(Factor(name, tuple(found)) for name, found in levels.items()))
        varied = [name for name, found in levels.items() if len(found) > 1]
        for number in range(len(grid)):
            cell = grid.cell(number)
            against = str(cell["attack"])
            yield (
                ", ".join(f"{name} {cell[name]}" for name in varied) or "the networks",
                FloatRecipe(
                    kind=str(cell["kind"]),
                    widths=() if cell["kind"] == "lenet" else (int(cell["width"]),) * int(cell["depth"]),
                    steps=int(cell["steps"]),
                    batch_size=int(cell["batch_size"]),
                    learning_rate=float(cell["learning_rate"]),
                    optimizer="adam" if cell["optimizer"] == "adam" else "sgd",
                    momentum=float(cell["momentum"]),
                    weight_decay=float(cell["weight_decay"]),
                    dropout=float(cell["dropout"]),
                    attack=None if against == NO_ATTACK else attacks[against].trained_against(),
                ),
                int(cell["ensemble"]),
            )
