"""A comparison's first direction on a page: test images at both ends of it, and its training images."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from modeldiff_core.study import StudyConfig, load_dataset


def draw(study: StudyConfig, summary: Any, to: Path) -> None:
    """Write test images at both ends of the first direction and its training images, one row each."""
    data, first = load_dataset(study.dataset), summary["directions"][0]
    chosen = (data.test, "top_targets"), (data.test, "bottom_targets"), (data.train, "top_train")
    rows = [part.images[first[name]] for part, name in chosen]
    width = max(len(row) for row in rows)
    lines = []
    for row in rows:
        padded = np.pad(row, ((0, width - len(row)), (1, 1), (1, 1), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(padded), axis=1))
    sheet = np.kron(np.concatenate(lines), np.ones((2, 2, 1), np.uint8))
    to.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet[..., 0] if sheet.shape[2] == 1 else sheet).save(to, optimize=True)


def looks(summary: Mapping[str, Any], picture: str) -> Iterator[str]:
    """Yield a page's section on the first direction, with its picture at a path relative to the page."""
    first = summary["directions"][0]
    words = (
        "stands out from chance" if first["significant"] else "is within chance, so that what it shows may be nothing"
    )
    yield from (
        "## What it looks like",
        "",
        f"The first direction (adjusted p {first['p_adjusted']:.2g}) {words}. Test images at one end, test images at "
        "the other end, training images of the largest weights:",
        "",
        f"![Images of the first direction]({picture})",
    )
