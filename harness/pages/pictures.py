"""Put pictures of a finished run into docs/pictures, where the gallery of studies shows them.

    python -m harness.pages.pictures STORE STUDY [FIGURE ...]

STUDY is the name of a study that ships; its folder in the store is the one of that name. FIGURE names files of
``report/figures`` without their ending. If none is named, it is the plot of variances and the first one of a
transformation, or of other experiments the first one. Of a report without figures, as a league's is, the part MATRIX is
taken from its page by a browser.
"""

import sys
from collections.abc import Sequence

from harness.browser import chromium
from harness.pages.gallery import PICTURES
from modeldiff_core.store import ObjectStore, StoreSettings

MATRIX = "matrix"
"""The part of a page, by its id, that is shown of a report without figures."""
WIDTH, HEIGHT = 760, 600
"""Pixels of the browser's window."""


def newest(store: ObjectStore, study: str, folder: str) -> dict[str, str]:
    """Return the keys of what a study's newest report has in a folder, by what stands behind it, in order."""
    found: dict[str, tuple[float, str]] = {}
    for key, one in store.listing("").items():
        home, _, name = key.partition(f"/report/{folder}")
        if name and "/" not in name and home.rpartition("/")[2].rpartition("-")[0] == study:
            found[name] = max(found.get(name, (0.0, "")), (one.written or 0.0, key))
    return {name: key for name, (_, key) in sorted(found.items())}


def figures(store: ObjectStore, study: str) -> dict[str, str]:
    """Return the keys of the figures of a study's newest report by their names; raises FileNotFoundError for none."""
    found = newest(store, study, "figures/")
    if not found:
        raise FileNotFoundError(f"no report of {study} with figures in {store.settings.url}")
    return {name.removesuffix(".png"): key for name, key in found.items() if name.endswith(".png")}


def usual(names: Sequence[str]) -> list[str]:
    """Return the figures that show a report best: variances and the first of a transformation, or the first at all."""
    effects = [name for name in names if name.startswith(("effect-", "found-")) and not name.endswith("-images")]
    return ["variance", *effects[:1]] if "variance" in names else list(names)[:1]


def copy(store: ObjectStore, study: str, names: Sequence[str] = ()) -> list[str]:
    """Put pictures of a study's report into docs/pictures and return their names; the usual ones if none is named."""
    if not newest(store, study, "figures/"):
        return [shot(store, study)]
    found = figures(store, study)
    made = []
    for name in names or usual(list(found)):
        picture = PICTURES / f"{study}-{name}.png"
        picture.write_bytes(store.read(found[name]))
        made.append(picture.name)
    return made


def shot(store: ObjectStore, study: str) -> str:
    """Take the picture of a report without figures by a browser, and return its name.

    Raises:
        FileNotFoundError: For a study without a report.
        ImportError: Without playwright, which the extra ``dev`` has.
    """
    page = newest(store, study, "").get("index.html")
    if page is None:
        raise FileNotFoundError(f"no report of {study} in {store.settings.url}")
    picture = PICTURES / f"{study}-{MATRIX}.png"
    with chromium() as browser:
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1.5)
        view.set_content(store.read(page).decode())
        view.locator(f"#{MATRIX}").screenshot(path=picture)
    return picture.name


def main(arguments: Sequence[str] | None = None) -> None:
    """Put what is named into docs/pictures."""
    root, study, *names = sys.argv[1:] if arguments is None else arguments
    for name in copy(ObjectStore(StoreSettings(root)), study, names):
        print(f"docs/pictures/{name}")


if __name__ == "__main__":
    main()
