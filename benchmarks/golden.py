"""Write the golden files of this checkout: complete each run in a fresh store and list its objects.

    python -m benchmarks.golden [names, all by default] [folder=PATH for the stores, a temporary one by default]
    python -m benchmarks.golden restated [names]

The second form is for results with a new version whose settings and masks stay: keys and digests are taken from the
plan of the settings that a file holds, and small studies with stored numbers are completed in this process. It is
refused where anything but digests and keys of the results named in RESTATED would change.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.checkout import Checkout
from benchmarks.small_runs import LOCAL, RUNS
from harness import golden_keys
from harness.golden_files import (
    FOLDER,
    NUMBERED,
    Golden,
    differences,
    read_golden,
    split,
    stored_numbers,
    write_golden,
)
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.study import parse_study

WHOLE = "digits_watermark", "digits_null"
"""Studies that are run at full size, in a minute or two each."""


def whole(name: str) -> Callable[[Checkout, Path], None]:
    """Return the run of a study with the settings of conf/ and residual analyses, which the files hold."""

    def run(checkout: Checkout, folder: Path) -> None:
        checkout.modeldiff("compare", f"study={name}", "comparison=residual", f"store.root={folder / name}", *LOCAL)

    return run


def observed(name: str, root: Path) -> Golden:
    """Return the golden file of a finished store: stored settings, keys, digests, masks and numbers."""
    studies, checks, adopted = [], [], []
    for path in sorted(root.glob("comparisons/*/study.json")):
        record = json.loads(path.read_text("utf-8"))
        if "sources" in record:
            adopted.append({"study": record["study"], **_sides(root, record["sources"])})
        else:
            studies.append(parse_study(record["study"]).model_dump(mode="json"))
        checks += [json.loads(check.read_text("utf-8")) for check in path.parent.glob("counterfactual-*.json")]
    static, dependent = split(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    golden = Golden(
        made_by=f"benchmarks.golden {name}",
        studies=studies,
        counterfactual=checks[0]["settings"] if checks else None,
        adopted=adopted[0] if adopted else None,
        static=static,
        dependent=dependent,
        digests={},
        masks={},
        numbers={},
    )
    store = ObjectStore(StoreSettings(str(root)))
    return replace(
        golden,
        digests=golden_keys.digests(golden),
        masks=golden_keys.masks(golden),
        numbers=stored_numbers(store, static) if name in NUMBERED else {},
    )


def _sides(root: Path, sources: dict[str, str]) -> dict[str, Any]:
    folders = {label: key.rpartition("/")[0] for label, key in sources.items()}
    records = {label: json.loads((root / folder / "training.json").read_text()) for label, folder in folders.items()}
    return {label: {k: v for k, v in record.items() if k != "checksum"} for label, record in records.items()}


RESTATED = re.compile(r"trainings/[^/]+/scores-.*|comparisons/(?!directions-|null-).*")
"""Keys of results that may have a new version, or be new, while everything else has to stay."""


def restated(name: str, folder: Path) -> Golden:
    """Return a golden file with the keys and digests of this checkout; exits if others than RESTATED's change."""
    old = read_golden(name)
    found = golden_keys.digests(old)
    digests = {key: found[key] for key in (*(key for key in old.digests if key in found), *found)}
    new = replace(old, static=golden_keys.static_keys(old), digests=digests)
    changed = set(old.static) ^ set(new.static) | {key for key, _ in old.digests.items() ^ new.digests.items()}
    wrong = [key for key in changed if not RESTATED.fullmatch(key)]
    if wrong or golden_keys.masks(old) != old.masks:
        sys.exit(f"{name}: more than the results named in RESTATED would change: {sorted(wrong)}")
    if name not in NUMBERED:
        return new
    store = ObjectStore(StoreSettings(f"file://{folder / name}"))
    golden_keys.complete(store, new)
    numbers = stored_numbers(store, new.static)
    kept = {key: value for key, value in old.numbers.items() if key in numbers}
    if found := differences(kept, numbers):
        sys.exit(f"{name}: numbers of results without a new version would change: {found}")
    _, dependent = split(key for key in store.sizes(""))
    return replace(new, numbers={**numbers, **kept}, dependent=dependent)


def main() -> None:
    """Run the requested runs, and print the files that were written."""
    if sys.argv[1:2] == ["restated"]:
        with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
            for name in sys.argv[2:] or [path.stem for path in sorted(FOLDER.glob("*.json"))]:
                print(write_golden(name, restated(name, Path(temporary))), flush=True)
        return
    folders = [word.removeprefix("folder=") for word in sys.argv[1:] if word.startswith("folder=")]
    asked = [word for word in sys.argv[1:] if not word.startswith("folder=")]
    runs = {**{name: whole(name) for name in WHOLE}, **RUNS}
    if unknown := set(asked) - runs.keys():
        sys.exit(f"{', '.join(sorted(unknown))}: no such run; there are {', '.join(runs)}")
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
        folder = Path(folders[0] if folders else temporary).absolute()
        checkout = Checkout(Path(__file__).resolve().parent.parent, folder / "scratch")
        checkout.check()
        for name, run in runs.items():
            if asked and name not in asked:
                continue
            if not (folder / name).exists():
                run(checkout, folder)
            golden = observed(name, folder / name)
            lacking = set(golden.static) ^ set(golden_keys.static_keys(golden))
            path = write_golden(name, golden)
            print(
                f"{path}: {len(golden.static)} + {len(golden.dependent)} keys, {len(golden.digests)} digests",
                flush=True,
            )
            if lacking:
                sys.exit(f"{name}: keys that the configuration alone does not say: {sorted(lacking)}")


if __name__ == "__main__":
    main()
