"""Copy figures of a finished run into docs/pictures, where the gallery of studies shows them.

    python -m harness.pages.pictures STORE STUDY [FIGURE ...]

STUDY is the name of a study that ships; its folder in the store is the one of that name. FIGURE names files of
``report/figures`` without their ending; the first one if none is named.
"""

import sys
from collections.abc import Sequence

from harness.pages.gallery import PICTURES
from modeldiff_core.store import ObjectStore, StoreSettings


def figures(store: ObjectStore, study: str) -> dict[str, str]:
    """Return the keys of the figures of a study's newest report by their names; raises FileNotFoundError for none."""
    found: dict[str, tuple[float, str]] = {}
    for key, one in store.listing("").items():
        folder, _, name = key.partition("/report/figures/")
        if name.endswith(".png") and folder.rpartition("/")[2].rpartition("-")[0] == study:
            found[name.removesuffix(".png")] = max(
                found.get(name.removesuffix(".png"), (0.0, "")), (one.written or 0.0, key)
            )
    if not found:
        raise FileNotFoundError(f"no report of {study} with figures in {store.settings.url}")
    return {name: key for name, (_, key) in sorted(found.items())}


def copy(store: ObjectStore, study: str, names: Sequence[str] = ()) -> list[str]:
    """Copy figures of a study and return the names of the pictures."""
    found = figures(store, study)
    made = []
    for name in names or [next(iter(found))]:
        picture = PICTURES / f"{study}-{name}.png"
        picture.write_bytes(store.read(found[name]))
        made.append(picture.name)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy what is named."""
    root, study, *names = sys.argv[1:] if arguments is None else arguments
    for name in copy(ObjectStore(StoreSettings(root)), study, names):
        print(f"docs/pictures/{name}")


if __name__ == "__main__":
    main()
