"""Write the golden files of this checkout: complete each run in a fresh store and list its objects.

    python -m benchmarks.golden [names, all by default] [folder=PATH for the stores, a temporary one by default]

Two runs are complete studies as a user runs them, the others those of ``benchmarks.small_runs``. Parts that vary from
run to run are replaced or left out, as ``harness.golden_files`` describes. Only a checkout whose numbers are the
reference may write the files: ``tests/test_golden.py`` and ``benchmarks.bits`` compare every other one with them.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.checkout import Checkout
from benchmarks.small_runs import LOCAL, RUNS
from harness import golden_keys
from harness.golden_files import NUMBERED, Golden, split, stored_numbers, write_golden
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.study import parse_study

WHOLE = "digits_watermark", "digits_null"
"""Studies that are run at full size, in a minute or two each."""


def whole(name: str) -> Callable[[Checkout, Path], None]:
    """Return the run of a study with the settings of conf/."""

    def run(checkout: Checkout, folder: Path) -> None:
        checkout.modeldiff("compare", f"study={name}", f"store.root={folder / name}", *LOCAL)

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


def main() -> None:
    """Run the requested runs, and print the files that were written."""
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
