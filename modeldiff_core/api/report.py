"""The reports of finished experiments, in a notebook and as tables."""

import html
import io
import json
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeldiff_core.experiments.compare.summary import TABLE
from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.store import ObjectStore, read_record

if TYPE_CHECKING:
    import pandas as pd

HEIGHT = 720
"""Pixels of the report in a notebook."""
MANY = 12
"""Positions that a cell of the table of directions names."""


class StoredReport:
    """What a finished experiment found; the report's pages are files in the store.

    Args:
        experiment: The experiment.
        store: Where it is.

    Attributes:
        store: Where it is.

    """

    def __init__(self, experiment: Experiment, store: ObjectStore) -> None:
        self.store = store
        self._experiment = experiment.now(store)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Everything that was found, as summary.json holds it."""
        return read_record(self.store, self._experiment.summary.record)

    @property
    def findings(self) -> list[str]:
        """Sentences, the most important first."""
        return list(self._experiment.shown(self.store).findings)

    @property
    def url(self) -> str:
        """The address of the report's first page."""
        return self.store.url(self._experiment.report.record)

    def show(self) -> None:
        """Print the findings and the address of the report."""
        print(self)  # noqa: T201

    def __str__(self) -> str:
        return "\n".join([*self.findings, f"Report: {self.url}"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"


class Report(StoredReport):
    """What a comparison found, of subset models or of checkpoints.

    Attributes:
        store: Where it is.
        summary: Everything that was found, as summary.json holds it.
        findings: Sentences, the most important first.
        url: The address of the report's first page.

    """

    @property
    def verdict(self) -> str:
        """The answer as a whole: different, equivalent or undecided."""
        return str(self.summary.get("verdict", {}).get("answer", "undecided"))

    @cached_property
    def directions(self) -> "pd.DataFrame":
        """A row for each direction: its side, p, whether it is significant, and the examples at its ends."""
        import pandas as pd

        rows = []
        for entry in self.summary["directions"]:
            plain = {key: value for key, value in entry.items() if not isinstance(value, dict | list)}
            variances = entry.get("explained_variance") or {}
            ends = {key: value[:MANY] for key, value in entry.items() if key.startswith(("top_", "bottom_"))}
            rows.append({**plain, **{f"variance_{side}": value for side, value in variances.items()}, **ends})
        return pd.DataFrame(rows)

    @cached_property
    def effects(self) -> "pd.DataFrame":
        """A row for each transformation and intensity; empty where none was tested."""
        import pandas as pd

        key = f"{self._experiment.folder}/{TABLE}"
        return pd.read_parquet(io.BytesIO(self.store.read(key))) if self.store.exists(key) else pd.DataFrame()

    def show(self) -> None:
        """Show the report: in a notebook below the cell, elsewhere its findings and its address."""
        if "ipykernel" in sys.modules:
            from IPython import display

            show: Any = display.display
            show(self)
        else:
            super().show()

    def _repr_html_(self) -> str:
        """Return the first page in a frame that holds all of it, so that any notebook shows it."""
        page = self.store.read(self._experiment.report.record).decode()
        address = html.escape(self.url)
        return (
            f'<iframe srcdoc="{html.escape(page)}" style="width:100%;height:{HEIGHT}px;border:1px solid #ccc" '
            'sandbox="allow-scripts allow-popups"></iframe>'
            f'<p>All pages: <a href="{address}" target="_blank"><code>{address}</code></a></p>'
        )

    def save(self, folder: str | Path) -> Path:
        """Copy the whole report into a folder and return its first page."""
        prefix = f"{self._experiment.folder}/report/"
        for key in self.store.sizes(prefix.rstrip("/")):
            target = Path(folder) / key.removeprefix(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.store.read(key))
        (Path(folder) / "summary.json").write_text(json.dumps(self.summary, indent=2))
        return Path(folder) / "index.html"
