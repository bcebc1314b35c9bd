"""``modeldiff adopt`` and ``export``: results that were made elsewhere, in and out of a store.

They run in this process: there is nothing to train, so no flow is needed.
"""

import sys
from collections.abc import Sequence
from typing import TypeVar

from modeldiff_core.experiments.adopted import adopt as adopting
from modeldiff_core.experiments.adopted import export as exporting
from modeldiff_core.experiments.adopted.against import score_against
from modeldiff_core.experiments.adopted.stored import find_stored
from modeldiff_core.settings import Settings
from modeldiff_core.stages.screening import screening_sentences
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.adopted import Adoption, Export, parse
from modeldiff_platform.flows.cli.compose import composed, parse_store

S = TypeVar("S", bound=Settings)


def adopt(overrides: Sequence[str]) -> int:
    """Take margins and masks, or attributions, into the store and print their key."""
    asked, store = adopted_request(Adoption, "adopt", overrides)
    store.probe()
    reference = adopting.adopt(store, asked)
    found = find_stored(store, reference.key, "name")
    for sentence in screening_sentences(found.name, found.record):
        print(f"modeldiff: warning: {sentence}", file=sys.stderr)
    of = f"{found.models - found.left_out} models, " if found.models else ""
    print(f"{found.name}: {found.kind} of {of}{found.n_train} training examples, {found.n_targets} targets")
    print(reference.key)
    if asked.against is not None:
        rho = score_against(store, reference, asked.against).pearson
        print(f"predicted and true outputs correlate with {rho.mean:.3f} [{rho.ci_low:.3f}, {rho.ci_high:.3f}]")
    return 0


def export(overrides: Sequence[str]) -> int:
    """Write what is stored at a key into files and print them."""
    asked, store = adopted_request(Export, "export", overrides)
    store.check()
    for path in exporting.export(store, asked):
        print(path)
    return 0


def adopted_request(settings: type[S], root: str, overrides: Sequence[str]) -> tuple[S, ObjectStore]:
    """Return the settings of a root configuration, and the store."""
    content = composed(overrides, root=root)
    store = ObjectStore(parse_store(content.pop("store")))
    return parse(settings, content), store
