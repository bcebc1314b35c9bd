"""What Prefect's UI shows of a finished experiment: findings, tables, figures, links."""

import base64
import re

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.store import ObjectStore


def publish(name: str, shown: Shown, store: ObjectStore) -> None:
    """Create the artifacts of an experiment; keys name the study, so that the UI keeps their history."""
    key = _slug(name)
    findings = "\n".join(f"- {line}" for line in shown.findings)
    create_markdown_artifact(f"## {shown.title}\n\n{findings}", key=f"{key}-findings")
    for table in shown.tables:
        rows = [dict(row) for row in table.rows]
        create_table_artifact(rows, key=f"{key}-{_slug(table.name)}", description=table.description)
    for figure in shown.figures:
        data = base64.b64encode(store.read(figure)).decode()
        words = _slug(figure.rsplit("/", 1)[-1].removesuffix(".png"))
        create_image_artifact(f"data:image/png;base64,{data}", key=f"{key}-{words}", description=words)
    for words, url in shown.links.items():
        create_link_artifact(url, key=f"{key}-{_slug(words)}", link_text=words.lower(), description=words)


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
