"""Files of the repository that the site shows, and links from one to another."""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[2]
DOCS = "docs"
COPIED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "benchmarks/RESULTS.md": "results.md"}
"""Files outside docs/ that are pages, by the page."""
INSTEAD = {"docs/examples": "how-to/own-parts.md", "docs/examples/walkthrough.ipynb": "tutorials/walkthrough.ipynb"}
"""Pages that stand for what is no page itself."""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|<)([^)\s#]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def page_of(path: str) -> str | None:
    """Return the page, relative to docs/, that shows a file or folder of the repository; None for one without.

    Args:
        path: Relative to the root, with slashes.

    """
    if path in COPIED or path in INSTEAD:
        return {**COPIED, **INSTEAD}[path]
    inside = PurePosixPath(path)
    if inside.parts[:1] != (DOCS,):
        return None
    if (ROOT / path).is_dir():
        readme = f"{path}/README.md"
        return page_of(readme) if (ROOT / readme).exists() else None
    return str(inside.relative_to(DOCS))


def source_of(page: str) -> str:
    """Return the file of the repository, relative to the root, that a page is made from."""
    return next((path for path, name in COPIED.items() if name == page), f"{DOCS}/{page}")


def relinked(text: str, page: str) -> str:
    """Return a page's Markdown with its links to files of the repository turned to the pages that show them.

    A link to what no page shows stays as it is, so that the build warns of it. Code is left alone.
    """
    folder = str(PurePosixPath(source_of(page)).parent)

    def turned(found: re.Match[str]) -> str:
        shown = page_of(normpath(f"{folder}/{found[1]}"))
        if shown is None:
            return found[0]
        return relpath(shown, str(PurePosixPath(page).parent)) + (found[2] or "")

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(turned, part) for part in parts)
