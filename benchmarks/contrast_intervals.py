"""Count how often the 95 % intervals of a contrast's sizes hold what margins without noise give.

    python -m benchmarks.contrast_intervals [--first 0] [--studies 1000] [--out FILE] [--seconds S] [--table]

The rules, fixed before the run: in 1,000 simulated studies of each row the interval holds the truth in 93 to 97 %,
for the variance along the first direction of the contrast, of A and of B, for all that differs, and, where a share is
told and a direction is planted, for the share that the first direction explains. Where nothing differs, a direction
is one of chance, and its difference has to be held in 93 % or more. A direction is measured on models that did not
choose it, so that it is as it is; the truth is what the same masks, directions and targets' units give with margins
without noise, slopes included, in units of the length without noise. As in a report,
slopes of all that differs are those outside the first direction where one is planted.

Studies are those of benchmarks.nulls with SIZE examples, targets and models; seeds from (row, number), not looked at
before. One JSON line a study, resumed like there.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nulls import ROWS, Simulated, simulated
from harness.batteries import Battery, records
from modeldiff_core.comparison.contrast import Contrast, Fits, Found, Sample, contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.effect_sizes import EffectSizes, Estimate, effect_sizes, squared_length
from modeldiff_core.comparison.slopes import slope_angles

SIZE = 80, 60, 500
"""Training examples, targets, models."""
GRADED = (
    "identical",
    "noise x 2",
    "tempered, own c",
    "planted in A, 0.3",
    "planted in A, 0.3, noise x 1.5",
    "planted in B, 0.3, noise x 1.5",
)
SIZES = ("difference", "under a", "under b", "total", "share")
LEAST, MOST = 0.93, 0.97


def study(name: str, number: int) -> dict[str, Any]:
    """Return what is held in one study."""
    made = simulated(name, number, SIZE)
    sample = sample_of(made.masks, made.margins)
    fits = sample.fits()
    contrast = contrast_of(sample, fits)
    found = find_contrast(contrast, fits, 3)
    sizes = effect_sizes(sample, fits, contrast, found).naming(1 if ROWS[name].plant else 0)
    true = truth(made, sample, contrast, found, sizes)
    told: dict[str, Estimate | None] = {
        "difference": sizes.difference(0),
        "under a": sizes.under("a", 0),
        "under b": sizes.under("b", 0),
        "total": sizes.all_that_differs(),
    }
    if ROWS[name].plant:
        told["share"] = sizes.share([0])
    held = {
        size: None
        if one is None
        else [round(one.low, 6), round(true[size], 6), round(one.high, 6), round(one.value, 6)]
        for size, one in told.items()
    }
    return {"row": name, "study": number, **held}


def truth(made: Simulated, sample: Sample, contrast: Contrast, found: Found, sizes: EffectSizes) -> dict[str, float]:
    """Return what margins without noise give at the same directions."""
    clean = []
    for operator, margins, unit in zip(sample.halves, made.expected, sample.units, strict=True):
        y = (margins - margins.mean(0)) / unit
        clean.append(tuple(operator.fit(half, y[operator.rows[half]]) for half in (0, 1)))
    nothing = np.zeros(len(clean[0][0]))
    fits = Fits(clean[0], clean[1], lambda half, outside, clear: (nothing, nothing, nothing))
    of_directions = np.zeros(3)
    for half, versions in enumerate(sizes.versions):
        angles = slope_angles(*fits.products(1 - half, versions.T))
        parts = _parts(fits, contrast, 1 - half, angles)
        of_directions += [np.square(part @ versions[0]).sum() / 2 for part in parts]
    named = found.directions[: sizes.named].T if sizes.named else None
    angles = slope_angles(*fits.pooled(named))
    first, second = (_parts(fits, contrast, half, angles)[0] for half in (0, 1))
    unit = squared_length(fits, contrast, angles) / 2
    difference, of_a, of_b = (float(value) / unit for value in of_directions)
    total = float((first * second).sum()) / unit
    return {
        "difference": difference,
        "under a": of_a,
        "under b": of_b,
        "total": total,
        "share": difference / total if total > 0 else np.inf,
    }


def _parts(fits: Fits, contrast: Contrast, half: int, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centered rows of the contrast, of A and of B."""
    a = (contrast.weights * np.cos(angles))[:, None] * fits.a[half]
    b = (contrast.weights * np.sin(angles))[:, None] * fits.b[half]
    a, b = a - a.mean(0), b - b.mean(0)
    return a - b, a, b


def table(out: Path) -> str:
    """Return a line for each row and size."""
    lines = ["| row | studies | of | told | held | mean truth | mean bias | |", "|---|---|---|---|---|---|---|---|"]
    found = list(records(out))
    for name in GRADED:
        own = [one for one in found if one["row"] == name]
        for size in SIZES:
            told = np.array([one[size] for one in own if one.get(size) is not None], np.float64)
            if not len(told):
                continue
            low, true, high, value = told.T
            held = float(((low <= true) & (true <= high)).mean())
            most = MOST if ROWS[name].plant or size != "difference" else 1.0
            kept = "" if LEAST <= held <= most else "no"
            share = f"{np.mean(true):.4f} | {np.mean(value - true):+.4f}"
            lines.append(f"| {name} | {len(own)} | {size} | {len(told)} | {held:.3f} | {share} | {kept} |")
    return "\n".join(lines)


BATTERY = Battery(
    "Coverage of a contrast's intervals.", list(GRADED), 1000, Path("contrast_intervals.jsonl"), study, table
)


if __name__ == "__main__":
    BATTERY.main()
