"""Photograph Prefect's UI in a real browser over a deployed comparison that fails, is retried by a click and completes.

``python -m benchmarks.pictures docs/pictures`` makes the pictures that the documentation shows: the run with its
shards, their list, the artifacts of the run once it has been retried, and the deployment's form. A server behind a
password, a worker and a tiny study are started for it.
"""

import sys
import tempfile
from pathlib import Path

from harness.prefect_server import prefect_server
from harness.ui_walk import walk


def main() -> None:
    """Make the pictures."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="pictures-") as name, prefect_server(Path(name)) as server:
        (Path(name) / "store").mkdir()
        walk(server, folder, Path(name) / "store")


if __name__ == "__main__":
    main()
