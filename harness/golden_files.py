"""Golden files: what a finished store held, as written down once and compared ever after.

A golden file holds the whole configuration with every default spelled out, the keys that its runs left in a fresh
store, the digests behind them, checksums of masks, and a few stored numbers. Nothing here knows how a study is planned
or run: that is the part of ``harness.golden_keys``.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modeldiff_core.store import ObjectStore, read_record, read_tensors

FOLDER = Path(__file__).parents[1] / "tests/golden"
NUMBERED = "counterfactual", "sweep"
"""Golden files that hold stored numbers: of small studies that the tests run again, which share their trainings."""
FIRST_MASKS = 5
"""Masks of each training whose checksums are kept."""
FIRST_VALUES = 40
"""Values of an array that are kept, in the order in which they are stored."""
TOLERANCE = 1e-4
"""Largest difference of a stored number, as a share of the largest value that was kept of its array.

Compiled training rounds differently on different processors. With torch in place of compiled code, which rounds
differently in every step, the first 12 values of each array moved by 9e-5 at most, those of weights by 2e-6.
"""
WIDER = {
    "scores": 1e-2,
    "lds": 1e-2,
    "differences": 5e-2,
    "a-b.variance_a": 1e-2,
    "a-b.variance_b": 1e-2,
    "a-b.projections": 1e-3,
    "b-a.projections": 1e-3,
}
"""The same for ranks, of which two may change places, and for what is fitted anew on halves, which moved by 1.2e-2;
projections, which are small differences of datamodels, moved by 9e-5.
"""

LEFT_OUT = (".prefect/",)
"""What begins so is no part of a listing: Prefect's references, which are remade from the store when they are lost."""
RANDOM_GROUP = re.compile(r"(margins-[0-9a-f]{8})\.[0-9a-f]{8}\.zarr/")
"""A group of arrays has a random part in its name, so that nobody who reads an older one is disturbed."""
DEPENDENT = re.compile(
    r"comparisons/(subpopulations|proposed|candidates|finalists)-[0-9a-f]{8}[./].*"
    r"|comparisons/[^/]+/report/(?!index\.html$|files\.json$).*"
)
"""Keys that depend on which directions are significant, hence on rounding: searches, and most files of a report."""

Numbers = dict[str, dict[str, list[float]]]
"""First values of stored arrays, by the key of their object and their name."""

SHOWN = {
    r"trainings/[^/]+/(subsets|ensemble)/shards/000000\.safetensors": ("margins", "logits"),
    r"trainings/[^/]+/datamodels-\w+/targets-000000-\d+\.safetensors": ("weights", "bias"),
    r"trainings/[^/]+/curve-\w+/\d+\.safetensors": ("scores",),
    r"trainings/[^/]+/effects-\w+\.safetensors": ("changes", "margins"),
    r"trainings/[^/]+/counterfactual-\w+\.safetensors": ("removed", "predicted", "actual"),
    r"comparisons/directions-\w+\.safetensors": (
        "a-b.directions", "a-b.projections", "a-b.variance_a", "a-b.variance_b", "b-a.directions", "b-a.projections",
    ),
    r"comparisons/null-\w+/00000\.safetensors": ("differences",),
}  # fmt: skip
"""Arrays of which some numbers are kept, by patterns of keys."""


@dataclass(frozen=True)
class Golden:
    """What was asked for, and what was found in the store afterwards.

    made_by: the script that made it, for people. studies: the points of a sweep, or one study, as plain values; an
    adaptive one as the plain study that its rounds came down to. counterfactual: the check that followed, if any.
    adopted: the study of adopted results under ``study`` and both sides' training.json under ``a`` and ``b``. static:
    keys that follow from the configuration alone; dependent: the others. digests: by the key of the object that makes a
    result complete. masks: SHA-256 of the first masks, packed, by a training's folder.
    """

    made_by: str
    studies: list[dict[str, Any]]
    counterfactual: dict[str, Any] | None
    adopted: dict[str, Any] | None
    static: list[str]
    dependent: list[str]
    digests: dict[str, str]
    masks: dict[str, list[str]]
    numbers: Numbers


def read_golden(name: str) -> Golden:
    """The golden file of that name."""
    return Golden(**json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def write_golden(name: str, golden: Golden) -> Path:
    """Write a golden file, an entry a line so that a difference can be read; gives its path."""
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(asdict(golden), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def normalized(key: str) -> str:
    """The key with a star for what is random in it."""
    return RANDOM_GROUP.sub(r"\1.*.zarr/", key)


def split(keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Static and dependent keys of a listing, each sorted, without what is left out."""
    kept = sorted(normalized(key) for key in keys if not key.startswith(LEFT_OUT))
    return [key for key in kept if not DEPENDENT.fullmatch(key)], [key for key in kept if DEPENDENT.fullmatch(key)]


def stored_numbers(store: ObjectStore, keys: Iterable[str]) -> Numbers:
    """The first values of the arrays of SHOWN among these keys, and the scores of the datamodels."""
    found: Numbers = {}
    for key in keys:
        names = next((names for pattern, names in SHOWN.items() if re.fullmatch(pattern, key)), ())
        if names:
            arrays = read_tensors(store, key).arrays
            found[key] = {name: _first(arrays[name]) for name in names if name in arrays}
        elif re.fullmatch(r"trainings/[^/]+/scores-\w+\.json", key):
            record = read_record(store, key)
            found[key] = {"lds": [record["lds"][name] for name in ("mean", "ci_low", "ci_high")]}
    return found


def _first(array: np.ndarray) -> list[float]:
    return [float(value) for value in array.ravel()[:FIRST_VALUES]]


def differences(expected: Numbers, found: Numbers) -> list[str]:
    """What differs by more than TOLERANCE, in words; empty if nothing does."""
    wrong = [f"{key}: there is none" for key in expected.keys() - found.keys()]
    for key in expected.keys() & found.keys():
        for name, values in expected[key].items():
            mine, theirs = np.array(found[key][name]), np.array(values)
            scale = np.abs(theirs).max()
            largest = np.abs(mine - theirs).max() if mine.shape == theirs.shape else np.inf
            if not largest <= WIDER.get(name, TOLERANCE) * scale:
                wrong.append(f"{key}: {name}: {largest / scale:.1e} of its largest value")
    return sorted(wrong)
