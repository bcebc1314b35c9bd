"""What stands in a report's folder after it was drawn again."""

from pathlib import Path

from modeldiff_core.report.files import DRAWN, FILES, write_files
from modeldiff_core.store import ObjectStore, StoreSettings, read_record

EARLIER = ("index.html", "methods.html", "direction-a-b-1.html", "figures/direction-a-b-1.png", "tables/effects.csv")


def names(root: Path) -> set[str]:
    folder = root / "comparisons" / "x" / "report"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_no_longer_drawn_goes_and_what_others_put_there_stays(tmp_path: Path) -> None:
    store = ObjectStore(StoreSettings(str(tmp_path)))
    write_files(store, "comparisons/x", "1", dict.fromkeys(EARLIER, b"first"))
    assert names(tmp_path) == {*EARLIER, FILES}
    assert all(DRAWN.fullmatch(name) for name in EARLIER)
    store.write("comparisons/x/report/notes.txt", b"mine")
    store.write("comparisons/x/summary.json", b"{}")
    again = dict.fromkeys(("index.html", "methods.html", "direction-b-a-2.html"), b"second")
    write_files(store, "comparisons/x", "2", again)
    assert names(tmp_path) == {*again, FILES, "notes.txt"}
    assert store.exists("comparisons/x/summary.json")
    assert read_record(store, f"comparisons/x/report/{FILES}")["sha256"].keys() == again.keys()
    assert store.read("comparisons/x/report/methods.html") == b"second"
