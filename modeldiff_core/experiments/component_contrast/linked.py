"""The contrasts by components in a store that belong to a comparison, whose page links to them."""

import json

from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.experiments.component_contrast.experiment import ComponentContrast
from modeldiff_core.experiments.component_contrast.settings import ContrastStudy
from modeldiff_core.experiments.experiment import parse_settings
from modeldiff_core.report.facts import WhereFacts
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import Training

PAGE = "report/index.html"
UP = "../../.."
"""From a report of a comparison to the root of the store."""


def where_in_the_network(store: ObjectStore, trainings: tuple[Training, Training]) -> tuple[WhereFacts, ...]:
    """Return the finished contrasts by components of the networks of two trainings, by their names.

    Contrasts of A against B and of B against A both count. One whose page or summary is damaged or of another version
    of the program is left out: `verify` of that study says so.
    """
    pages = (key for key in store.sizes(ComponentContrast.kind) if key.endswith(f"/{PAGE}"))
    found = (_facts(store, key.removesuffix(f"/{PAGE}"), trainings) for key in sorted(pages))
    return tuple(one for one in found if one is not None)


def _facts(store: ObjectStore, folder: str, trainings: tuple[Training, Training]) -> WhereFacts | None:
    """Return what is shown of the contrast in a folder; None for one of other trainings."""
    try:
        settings = json.loads(store.read(f"{folder}/report/study.json"))
        study = parse_settings(ContrastStudy, settings)
        assert isinstance(study, ContrastStudy)
        if study.dataset != trainings[0].dataset:
            return None
        contrast = ComponentContrast.of(study, store)
        own = {side.training.digest for side in contrast.sides.values()}
        if contrast.folder != folder or own != {training.digest for training in trainings}:
            return None
        shown = contrast.present(read_record(store, contrast.summary.record))
    except (ConfigError, DamagedObject, FileNotFoundError, KeyError, ValueError):
        return None
    return WhereFacts(shown.title, shown.findings[1], f"{UP}/{folder}/{PAGE}")
