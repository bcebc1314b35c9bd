"""What ``modeldiff data build`` wrote, as a dataset: its manifest, and a beton for each part."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from modeldiff_core.data.betons import read_beton
from modeldiff_core.data.examples import Dataset
from modeldiff_core.data.inventory import notes_of
from modeldiff_core.data.manifest import MANIFEST, sha256
from modeldiff_core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Built:
    """Images of a built folder; trainers may read them through FFCV instead of holding them in memory.

    folder: where the build wrote its manifest and its betons (data.out).
    """

    folder: str

    def files(self) -> list[Path]:
        """Return the betons of both parts."""
        return [Path(self.folder).expanduser() / f"{part}.beton" for part in ("train", "test")]

    def load(self) -> Dataset:
        path = Path(self.folder).expanduser() / MANIFEST
        if not path.is_file():
            raise ConfigError("dataset.folder", f"a folder with a finished build ({MANIFEST})", self.folder)
        record = json.loads(path.read_text(encoding="utf-8"))
        parts = []
        for beton in self.files():
            expected = record["betons"].get(beton.name)
            if expected is None:
                raise ConfigError(
                    "dataset.folder", "a build with betons", self.folder, "Build it again with data.beton=true."
                )
            if not beton.is_file() or sha256(beton) != expected:
                raise DataError(f"{beton}: missing, or its bytes do not match the manifest; build it again")
            parts.append(replace(read_beton(beton), beton=str(beton)))
        return Dataset(parts[0], parts[1], tuple(record["classes"]), notes_of(record.get("inventory", {})))
