"""What Prefect's UI shows of a finished comparison: tables, figures, a link to the report."""

import base64
from typing import Any

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.store import ObjectStore, read_record


def publish(comparison: Comparison, store: ObjectStore, result: dict[str, Any]) -> None:
    """Create the artifacts of a comparison; keys name the study, so that the UI keeps their history."""
    key = comparison.study.name.replace("_", "-")
    names = {"a": comparison.study.algorithm_a.name, "b": comparison.study.algorithm_b.name}
    summary = read_record(store, f"{comparison.folder}/summary.json")
    findings = "\n".join(f"- {line}" for line in summary["findings"])
    create_markdown_artifact(f"## {names['a']} against {names['b']}\n\n{findings}", key=f"{key}-findings")
    create_table_artifact(
        [
            {
                "side": f"{names[d['side'][0]]} − {names[d['side'][2]]}",
                "direction": d["index"] + 1,
                f"variance, {names['a']}": round(d["explained_variance"]["a"], 5),
                f"variance, {names['b']}": round(d["explained_variance"]["b"], 5),
                "null p": round(d["null_p"], 4),
                "stability": round(d["stability"], 3),
                "significant": "yes" if d["significant"] else "no",
            }
            for d in summary["directions"]
        ],
        key=f"{key}-directions",
        description="Variance along each direction, measured on models that did not choose it",
    )
    if summary["transformations"]:
        create_table_artifact(
            [
                {
                    "transformation": t["name"],
                    "class": "own" if t["class"] is None else t["class"],
                    f"effect, {names['a']}": round(t["effect"]["a"], 4),
                    f"effect, {names['b']}": round(t["effect"]["b"], 4),
                    "difference": round(t["difference"], 4),
                    "adjusted p": t["p_adjusted"],
                    "distinguishing": "yes" if t["distinguishing"] else "no",
                }
                for t in summary["transformations"]
            ],
            key=f"{key}-effects",
            description="Mean change of a class probability at full intensity",
        )
    if summary["found"]:
        create_table_artifact(
            [
                {
                    "transformation": t["name"],
                    "class": "own" if t["class"] is None else t["class"],
                    "along": ", ".join(f"{d['side']} {d['index'] + 1}" for d in t["along"]),
                    f"effect, {names['a']}": round(t["effect"]["a"], 4),
                    f"effect, {names['b']}": round(t["effect"]["b"], 4),
                    "adjusted p": t["p_adjusted"],
                    "confirmed": "yes" if t["distinguishing"] else "no",
                }
                for t in summary["found"]
            ],
            key=f"{key}-found",
            description="What the search put to the test, on images and models that had not chosen it",
        )
    for name in sorted(store.sizes(f"{comparison.folder}/report/figures")):
        if name.endswith(".png"):
            data = base64.b64encode(store.read(name)).decode()
            figure = name.rsplit("/", 1)[-1].removesuffix(".png").replace("_", "-").lower()
            create_image_artifact(f"data:image/png;base64,{data}", key=f"{key}-{figure}", description=figure)
    create_link_artifact(result["url"], key=f"{key}-report", link_text="report", description="The report's page")
