"""Check that two checkouts store the same bits: run the small runs with each and compare every object of both stores.

    git worktree add ../landed COMMIT
    python -m benchmarks.bits ../landed . [names of runs, all by default] [folder=PATH]

Prints a line per run and kind of object, then every key that differs or that one store lacks, and exits with 1 if such
a key exists; keys of ALLOWED may differ, and are counted. With a folder the stores are kept in ``first/`` and
``second/`` below it. Finished runs of the first checkout are then not repeated; those of the second always are. Objects
are read without the code of either checkout.
"""

import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load

from benchmarks.checkout import Checkout
from benchmarks.small_runs import RUNS
from harness.golden_files import LEFT_OUT, normalized

ALLOWED = {
    r"comparisons/.*\.html": "pages, which show versions and seconds",
    r"comparisons/.*/report/files\.json": "their checksums",
    r"comparisons/.*/report/tables/estimators\.(csv|parquet)": "a table that holds seconds",
}
"""Keys whose objects may differ, and why; both stores must still have them."""
ADDED = r"sweeps/.*"
"""Keys that may exist only in the second store: the table of a sweep, which only Prefect's artifacts held before."""
VOLATILE = "seconds", "group", "checksum"
"""Fields of records that are not compared, at any depth: durations, the random name of a group of arrays, and the
checksum of all other fields."""
KINDS = {
    r"trainings/[^/]+/(subsets|ensemble)/shards/.*": "shards",
    r"trainings/[^/]+/margins-.*": "matrices of margins and masks",
    r"trainings/[^/]+/datamodels-.*": "datamodels",
    r"trainings/[^/]+/curve-.*": "learning curves",
    r"trainings/[^/]+/effects-.*": "effects",
    r"trainings/[^/]+/scores-.*": "scores",
    r"trainings/[^/]+/counterfactual-.*": "removals",
    r"grams/.*": "counts of masks",
    r"comparisons/directions-.*": "directions",
    r"comparisons/null-.*": "null",
    r"comparisons/(subpopulations|proposed|candidates|finalists)-.*": "descriptions and searches",
    r"comparisons/[^/]+/report/.*": "reports",
    r"comparisons/[^/]+/.*": "summaries",
}
"""Kind of the object of a key, in the order in which patterns are tried."""


@dataclass(frozen=True)
class Difference:
    """A key of a run whose objects differ; `allowed` if they may."""

    run: str
    key: str
    why: str
    allowed: bool


def objects(root: Path) -> dict[str, Path]:
    """Return every object below a root by its key, with a star in place of random parts."""
    paths = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    kept = {normalized(key): path for key, path in paths.items() if not key.startswith(LEFT_OUT)}
    assert len(kept) == sum(not key.startswith(LEFT_OUT) for key in paths), f"{root}: a matrix was written twice"
    return kept


def kind(key: str) -> str:
    """Return the kind of an object."""
    return next((words for pattern, words in KINDS.items() if re.fullmatch(pattern, key)), "others")


def compare(run: str, first: dict[str, Path], second: dict[str, Path]) -> Iterator[Difference]:
    """Yield the differences between two stores, in the order of keys."""
    for key in sorted(first.keys() | second.keys()):
        if key not in second or key not in first:
            which, allowed = ("first", False) if key in first else ("second", bool(re.fullmatch(ADDED, key)))
            yield Difference(run, key, f"only in the {which} store", allowed)
        elif why := _difference(key, first[key].read_bytes(), second[key].read_bytes()):
            yield Difference(run, key, why, any(re.fullmatch(pattern, key) for pattern in ALLOWED))


def _difference(key: str, first: bytes, second: bytes) -> str:
    """Return how two objects differ, in words; empty if they do not."""
    if first == second:
        return ""
    if key.endswith(".safetensors"):
        return _of_arrays(first, second)
    if key.endswith(".json"):
        one, two = (_settled(json.loads(data)) for data in (first, second))
        fields = sorted(field for field in one.keys() | two.keys() if one.get(field) != two.get(field))
        return f"fields {', '.join(fields)}" if fields else ""
    return f"{len(first)} and {len(second)} bytes"


def _of_arrays(first: bytes, second: bytes) -> str:
    one, two = (
        {name: (array.dtype, array.shape, array.tobytes()) for name, array in load(data).items()}
        for data in (first, second)
    )
    wrong = [name for name in sorted(one.keys() | two.keys()) if one.get(name) != two.get(name)]
    return f"arrays {', '.join(wrong)}" if wrong else "the header: identity or facts"


def _settled(content: Any) -> Any:
    """Return the content of a record without its volatile fields, at any depth."""
    if isinstance(content, dict):
        return {name: _settled(value) for name, value in content.items() if name not in VOLATILE}
    return [_settled(value) for value in content] if isinstance(content, list) else content


def complete(checkout: Checkout, folder: Path, names: list[str], again: bool) -> None:
    """Complete these runs below a folder; with `again` also those that are finished there."""
    checkout.check()
    for name in names:
        done = folder / f"{name}.done"
        if again or not done.exists():
            done.unlink(missing_ok=True)
            for place in (folder / name, folder / "exported" / name):
                shutil.rmtree(place, ignore_errors=True)
            RUNS[name](checkout, folder)
            done.touch()
            print(f"{checkout.folder}: {name} done with {checkout.entry}", file=sys.stderr, flush=True)


def table(counts: dict[str, Counter[tuple[str, str]]], runs: list[str]) -> str:
    """Return a Markdown table with a line per run and kind of object; `counts` holds keys, by their result."""
    lines = ["| run | objects | keys | the same | may differ | differ |", "|---|---|---|---|---|---|"]
    for run in runs:
        for words in [*KINDS.values(), "others"]:
            keys, allowed, differ = (counts[what][run, words] for what in ("keys", "may differ", "differ"))
            if keys:
                lines.append(f"| {run} | {words} | {keys} | {keys - allowed - differ} | {allowed} | {differ} |")
    return "\n".join(lines)


def main() -> None:
    """Run the requested runs with both checkouts, compare, and print the differences."""
    words = [word for word in sys.argv[1:] if not word.startswith("folder=")]
    places, asked = words[:2], words[2:]
    if len(places) < 2 or set(asked) - RUNS.keys():
        sys.exit(f"two checkouts and names among {', '.join(RUNS)}, not {' '.join(words)}")
    needed = [name for name in RUNS if not asked or name in asked or name == "counterfactual"]
    kept = [word.removeprefix("folder=") for word in sys.argv[1:] if word.startswith("folder=")]
    found: list[Difference] = []
    counts: dict[str, Counter[tuple[str, str]]] = {what: Counter() for what in ("keys", "may differ", "differ")}
    with tempfile.TemporaryDirectory(prefix="bits-") as temporary:
        folder = Path(kept[0] if kept else temporary).absolute()
        roots = [folder / name for name in ("first", "second")]
        for place, root, again in zip(places, roots, (False, True), strict=True):
            complete(Checkout(Path(place).resolve(), root / "scratch"), root, needed, again)
        for run in needed:
            first, second = (objects(root / run) for root in roots)
            counts["keys"].update((run, kind(key)) for key in first.keys() | second.keys())
            differences = list(compare(run, first, second))
            counts["may differ"].update((run, kind(one.key)) for one in differences if one.allowed)
            counts["differ"].update((run, kind(one.key)) for one in differences if not one.allowed)
            found += differences
    print(table(counts, needed))
    for one in sorted(found, key=lambda one: one.allowed):
        print(f"{'may differ' if one.allowed else 'DIFFERS'}: {one.run}: {one.key}: {one.why}")
    wrong = sum(not one.allowed for one in found)
    total = counts["keys"].total()
    print(f"{total} objects: {total - len(found)} the same, {len(found) - wrong} that may differ, {wrong} that differ")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
