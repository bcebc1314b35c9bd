"""A page of the report taken apart."""

import base64
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "source", "br"}


class Page(HTMLParser):
    """Every element with its attributes, the ids and open state of what surrounds it, and the text of the page."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.within: dict[str, list[str]] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(content.decode())
        assert not self._open, "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] in {"script", "style"}:
            return
        text = " ".join(data.split())
        if text:
            self.text.append(text)
            for _, name in self._open:
                if name:
                    self.within.setdefault(name, []).append(text)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def by_id(self, name: str) -> dict[str, str | None]:
        (found,) = [attributes for _, attributes in self.elements if attributes.get("id") == name]
        return found

    def words(self, within: str | None = None) -> str:
        return " ".join(self.text if within is None else self.within[within])


def decoded(uri: str) -> tuple[str, bytes]:
    head, _, body = uri.partition(",")
    assert head.startswith("data:")
    assert head.endswith(";base64")
    return head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(body, validate=True)
