"""Take pictures of Prefect's UI in a real browser: a deployed comparison fails, is retried by a click and completes.

``python -m benchmarks.pictures docs/pictures`` makes the pictures of the documentation: the run with its shards, their
list, the artifacts of the retried run, and the deployment's form. It starts a server with a password, a worker and a
tiny study.
"""

import sys
import tempfile
from pathlib import Path

from harness.prefect_server import prefect_server
from harness.ui_walk import comparison, walk


def main() -> None:
    """Make the pictures."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="pictures-") as name, prefect_server(Path(name)) as server:
        (Path(name) / "store").mkdir()
        walk(server, folder, Path(name) / "store", comparison())


if __name__ == "__main__":
    main()
