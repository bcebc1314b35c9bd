"""What MkDocs calls while it builds the site: pages that are made from the repository, and links between its files."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

if str(Path(__file__).parents[2]) not in sys.path:  # MkDocs loads this file by its path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from harness.pages import gallery, reference, settings
from harness.pages.repository import COPIED, ROOT, relinked


def on_config(config: Any) -> Any:
    """Put the public names into the navigation by package, those of Python's door first and others last."""
    (section,) = [entry["Reference"] for entry in config.nav if "Reference" in entry]
    door, *others = [
        {package.title: [package.page, *({name.name: name.page} for name in package.names)]}
        for package in reference.packages()
    ]
    section[1:1] = [door]
    section += others
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that no file in docs/ holds."""
    for page, text in made_pages().items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository to the pages that show them, and show the code of an example."""
    source = page.file.src_uri
    text = relinked(markdown, source)
    folder = (ROOT / "docs" / source).parent
    if folder.parent.name == "examples":
        for path in sorted(folder.glob("*.py")):
            text += f"\n## {path.name}\n\n```python\n{path.read_text().rstrip()}\n```\n"
    return text


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Turn links of a notebook to Markdown files and notebooks to their pages, which MkDocs does for Markdown only."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    return re.sub(r'href="(?!\w+:)([^"#]+)\.(?:md|ipynb)(#[^"]*)?"', r'href="\1.html\2"', html)


def made_pages() -> dict[str, str]:
    """Return the Markdown of every page that is made, by its place in the site."""
    found = reference.packages()
    return {
        **{page: (ROOT / path).read_text() for path, page in COPIED.items()},
        **{package.page: reference.package_page(package) for package in found},
        **{name.page: reference.name_page(name) for package in found for name in package.names},
        reference.INDEX: reference.index_page(found),
        gallery.PAGE: gallery.gallery_page(gallery.shipped()),
        settings.PAGE: settings.settings_page(),
    }
