"""Check the links of a built site: every address within it leads to a file, and every anchor to a place on its page."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

TAG = re.compile(r"<(a|area|audio|iframe|img|link|object|script|source|video)\b([^>]*)>", re.IGNORECASE)
ADDRESS = re.compile(r"""\b(?:href|src|srcset|data)=(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)
PLACE = re.compile(r"""\b(?:id|name)=(?:"([^"]*)"|'([^']*)'|([^\s>]+))""")
ELSEWHERE = re.compile(r"(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """An address on a page.

    Attributes:
        page: The page's file.
        tag: The element that names it.
        address: As it is written, with entities resolved.

    """

    page: Path
    tag: str
    address: str

    @property
    def elsewhere(self) -> bool:
        """Whether it leads out of the site."""
        return bool(ELSEWHERE.match(self.address))

    @property
    def loaded(self) -> bool:
        """Whether a browser fetches it with the page, rather than when a reader follows it."""
        return self.tag != "a"


def links(site: Path) -> Iterator[Link]:
    """Yield all addresses of all pages of a site's folder."""
    for page in sorted(site.rglob("*.html")):
        for tag, attributes in TAG.findall(page.read_text()):
            for found in ADDRESS.findall(attributes):
                yield Link(page, tag.lower(), html.unescape(next(filter(None, found), "")))


def broken(site: Path) -> list[str]:
    """Return a line for each address within the site that leads nowhere.

    A page that is not there for its readers (404.html) is left out, since its links start from the server's root.
    """
    places: dict[Path, set[str]] = {}
    wrong = []
    for link in links(site):
        if link.elsewhere or link.page.name == "404.html":
            continue
        path, _, anchor = link.address.partition("#")
        target = (link.page.parent / unquote(path)).resolve() if path else link.page
        if not target.is_file():
            wrong.append(f"{link.page.relative_to(site)}: {link.address}: no such file")
        elif anchor and target.suffix == ".html":
            if target not in places:
                named = PLACE.findall(target.read_text())
                places[target] = {html.unescape(next(filter(None, found), "")) for found in named}
            if unquote(anchor) not in places[target]:
                wrong.append(f"{link.page.relative_to(site)}: {link.address}: no such place on the page")
    return wrong


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Return a line for each address that a page loads over the network."""
    wrong = []
    for link in links(site):
        relation = link.tag == "link" and link.address.startswith("http") and link.address.endswith(".html")
        if link.elsewhere and link.loaded and not relation and not link.address.startswith("data:"):
            wrong.append(f"{link.page.relative_to(site)}: {link.tag} {link.address}")
    return wrong
