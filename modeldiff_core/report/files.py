"""A report's files in a store, with the record of their checksums."""

import hashlib
import re
from collections.abc import Mapping

from modeldiff_core.store import ObjectStore, write_record

FILES = "files.json"
"""Name of the record of a report's checksums."""
DRAWN = re.compile(r"study\.json|[a-z0-9-]+\.html|figures/[a-z0-9-]+\.(png|svg)|tables/[a-z0-9-]+\.(csv|parquet)")
"""Files that a report may consist of, by their names in its folder."""


def write_files(store: ObjectStore, folder: str, digest: str, files: Mapping[str, bytes]) -> None:
    """Put a report's files with the record of their checksums, the page last; files of an earlier report are deleted.

    Args:
        store: The store.
        folder: The experiment's folder, in which ``report/`` is.
        digest: Digest of the experiment that the report shows.
        files: Contents by name, ``index.html`` among them.

    """
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    for name in sorted(files.keys() - {"index.html"}):
        store.write(f"{folder}/report/{name}", files[name])
    write_record(store, f"{folder}/report/{FILES}", {"digest": digest, "sha256": sums})
    store.write(f"{folder}/report/index.html", files["index.html"])
    for key in store.sizes(f"{folder}/report"):
        name = key.removeprefix(f"{folder}/report/")
        if name not in files and DRAWN.fullmatch(name):
            store.delete(key)
