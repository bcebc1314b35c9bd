"""What algorithms share whose models cannot be stored: they are trained again where they are needed."""

from collections.abc import Mapping
from typing import ClassVar, NoReturn

import numpy as np
from jaxtyping import Float

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.protocol import Execution


class UnstoredModels:
    """Models without arrays to store; objects of other libraries could only be stored as pickles."""

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """Return nothing: these models are trained again where they are needed."""
        return {}


class Unstored:
    """An algorithm of such models.

    Attributes:
        kind: Its name in a configuration.
    """

    kind: ClassVar[str]

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> NoReturn:
        """Raise ConfigError: these models have no stored weights."""
        raise ConfigError("algorithm.kind", "an algorithm with stored weights", f"{self.kind} ({sorted(weights)})")
