"""The report of any experiment as one page, drawn from what the experiment shows on every other screen."""

import json
from collections.abc import Mapping, Sequence

from modeldiff_core.data.inventory import Inventory, sections
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.report.figures import Plot
from modeldiff_core.report.html import environment
from modeldiff_core.report.words import slug


def draw_page(
    kind: str, shown: Shown, plots: Mapping[str, Plot], study: object, data: Sequence[Inventory] = ()
) -> dict[str, bytes]:
    """Return the files of a report by name: figures, `study.json` and `index.html`, which needs no other file.

    The same arguments give the same bytes.

    Args:
        kind: The name of the experiment.
        shown: What was found.
        plots: Figures by their captions.
        study: The settings as plain values.
        data: What each dataset held.

    """
    settings = json.dumps(study, indent=2, ensure_ascii=False)
    figures = [{"caption": caption, "stem": slug(caption), "plot": plot} for caption, plot in plots.items()]
    template = environment().get_template("shown.html.jinja")
    page = template.render(
        kind=kind,
        title=shown.title,
        findings=shown.findings,
        tables=shown.tables,
        figures=figures,
        study=settings,
        data=[{"rows": sections(one), "told": one.remarks} for one in data],
    )
    found = {f"figures/{slug(caption)}.png": plot.png for caption, plot in plots.items()}
    found |= {f"figures/{slug(caption)}.svg": plot.light for caption, plot in plots.items()}
    return {"index.html": page.encode(), "study.json": settings.encode(), **found}
