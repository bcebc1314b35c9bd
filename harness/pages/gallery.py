"""The gallery: a section for each study that ships, from its file and the pictures of its reports."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.pages.repository import ROOT

STUDIES = ROOT / "conf/study"
PICTURES = ROOT / "docs/pictures"
MINUTES = PICTURES / "minutes.json"
"""Processor seconds of each study that was run from beginning to end on one core, with the machine and the date."""
PAGE = "studies.md"
KINDS = {
    "compare": ("Two algorithms compared", "how two ways to train differ", "compare"),
    "league": ("More than two algorithms compared", "every pair of several algorithms, on shared models", "run"),
    "component_contrast": (
        "Components of two algorithms",
        "in which parts of their networks two algorithms differ",
        "run",
    ),
    "components": ("Components of one network", "which filters, rows or heads make a network's predictions", "run"),
    "simplicity": ("Which features networks use", "what of several features a network's accuracy rests on", "run"),
    "leakage": ("Where input gradients lie", "whether gradients mark what tells the class", "run"),
    "diffroar": (
        "Whether input gradients tell",
        "whether pixels that rank high tell more than those that rank low",
        "run",
    ),
    "scaling": ("Grids of mixtures of experts", "how sparse a language model should be at a training budget", "run"),
    "scaling_adopted": ("Scaling laws of a table", "the same of runs that were made elsewhere", "run"),
}
"""Of each kind of experiment a heading, what its studies ask, and the verb that runs them, in the order of the page."""


@dataclass(frozen=True)
class Shipped:
    """A study that ships.

    Attributes:
        name: Its name, by which a command finds it.
        kind: Of its experiment.
        words: The comment at the head of its file.
        text: The file.
        pictures: Names of its pictures in docs/pictures.
        took: How long it takes, where that was measured; empty elsewhere.

    """

    name: str
    kind: str
    words: str
    text: str
    pictures: tuple[str, ...]
    took: str = ""


def shipped() -> list[Shipped]:
    """Return all studies that ship, by name; one that builds on another is of the other's kind."""
    texts = {path.stem: path.read_text() for path in sorted(STUDIES.glob("*.yaml"))}
    took = {name: duration(one) for name, one in json.loads(MINUTES.read_text()).items()}
    return [
        Shipped(name, _kind(name, texts), _words(text), text, tuple(_pictures(name)), took.get(name, ""))
        for name, text in texts.items()
    ]


def duration(noted: Mapping[str, Any]) -> str:
    """Return how long a study took in words, from its entry in MINUTES."""
    seconds = float(noted["seconds"])
    words = f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"
    return f"{words} of one core ({noted['machine']}, {noted['date']})"


def _kind(name: str, texts: dict[str, str]) -> str:
    content = yaml.safe_load(texts[name])
    if "experiment" in content:
        return str(content["experiment"])
    bases = [base for base in content.get("defaults", []) if isinstance(base, str) and base in texts]
    return _kind(bases[0], texts) if bases else "compare"


def _words(text: str) -> str:
    lines = [line[2:] for line in text.splitlines() if line.startswith("# ") and "@package" not in line]
    head = text.split("\ndefaults:")[0]
    return " ".join(line for line in lines if f"# {line}" in head)


def _pictures(name: str) -> list[str]:
    return sorted(path.name for path in PICTURES.glob("*.png") if re.fullmatch(rf"{name}(-[a-z0-9-]+)?", path.stem))


def gallery_page(studies: list[Shipped]) -> str:
    """Return the Markdown of the gallery."""
    lines = [
        "# Studies\n",
        "Every study that ships, from its file in `conf/study`. Pictures are those of its report, and minutes were "
        "measured, by `python -m harness.pages.measured STORE STUDY`; a study that has neither was not run for this "
        "page, most of them since they need data or hours of a GPU. Any setting is overridden behind the name: "
        "`subsets.models=500`.\n",
    ]
    for kind, (title, words, verb) in KINDS.items():
        chosen = [study for study in studies if study.kind == kind]
        if chosen:
            lines += [f"## {title}\n", f"`experiment: {kind}`: {words}.\n"]
            lines += [_section(study, verb) for study in chosen]
    return "\n".join(lines)


def _section(study: Shipped, verb: str) -> str:
    pictures = [f"![{study.name}: {_title(study.name, name)}](pictures/{name})\n" for name in study.pictures]
    command = f"```\nmodeldiff {verb} study={study.name}\n```\n"
    indented = "\n".join(f"    {line}".rstrip() for line in study.text.rstrip().splitlines())
    file = f'??? note "conf/study/{study.name}.yaml"\n\n    ```yaml\n{indented}\n    ```\n'
    took = [f"Takes {study.took}.\n"] if study.took else []
    return "\n".join([f"### {study.name}\n", f"{study.words}\n", *pictures, command, *took, file])


def _title(study: str, picture: str) -> str:
    return Path(picture).stem.removeprefix(f"{study}-").replace("-", " ")
