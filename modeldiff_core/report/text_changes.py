"""An example that is read, without and with a change, and which of its words the change has put there."""

from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True)
class TextChange:
    """A row or a text without and with a transformation.

    before: as it was. after: its words in order, in runs; of each run whether it is new.
    """

    before: str
    after: list[tuple[str, bool]]


def text_change(before: str, after: str) -> TextChange:
    """Return what a change makes of a text, told apart word by word (the longest runs that both have)."""
    old, new = before.split(), after.split()
    found = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    runs = [(" ".join(new[start:end]), tag != "equal") for tag, _, _, start, end in found if end > start]
    return TextChange(before, runs)
