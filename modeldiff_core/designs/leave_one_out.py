"""Everything, then everything without one unit after the other."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from modeldiff_core.designs.design import Design, Numbers


@dataclass(frozen=True)
class LeaveOneOut(Design):
    """Row 0 has every unit and row u + 1 every unit but u; from row units + 1 on they begin again."""

    units: int
    kind: Literal["leave_one_out"] = "leave_one_out"

    def masks(self, numbers: Numbers) -> Bool[np.ndarray, "rows units"]:
        masks = np.ones((len(numbers), self.units), dtype=bool)
        for row, number in enumerate(numbers):
            without = int(number) % (self.units + 1) - 1
            if without >= 0:
                masks[row, without] = False
        return masks
