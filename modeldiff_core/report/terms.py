"""What examples, outputs and effects are called where they are not images of classes.

Sentences and pages are written for images of classes. For rows of a table, texts, and numbers that are predicted, the
words for what is shown, measured and moved are put in their places here, and nowhere else.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from modeldiff_core.data.kinds import PICTURES

IMAGE = PICTURES.noun
SHOWN = re.compile(r"(<style>.*?</style>|<script>.*?</script>|<pre.*?</pre>|<code.*?</code>|<[^>]*>)", re.DOTALL)
"""What a page does not show as prose: styles, scripts, what is copied, and tags."""
ALT = re.compile(r'(?<= alt=")([^"]*)(?=")|(?<= aria-label=")(Enlarge the figure[^"]*|Table of [^"]*)(?=")')

Replacement = tuple[re.Pattern[str], str]
FOR_NUMBERS: tuple[tuple[str, str], ...] = (
    (r"\bpercentage points\b", "hundredths of a standard deviation"),
    (r"\bP\(own class\)", "the prediction"),
    (r"\bthe probability of (the )?own class\b", "the prediction"),
    (r"\b[Tt]he probability and the margin of (the|a|its) (own )?class\b", "the prediction and its squared error"),
    (r"\bChange of the margin\b", "Change of the negative squared error"),
    (r"\bMean change of a class probability\b", "Mean change of the prediction, in standard deviations of the target,"),
    (r"\ba class probability\b", "the prediction"),
    (r"\bprobability\b", "prediction"),
    (r"\bSeed noise, sureness and accuracy may differ\b", "Seed noise and the size of errors may differ"),
    (r"\ba margin\b", "an output"),
    (r"\bmargins\b", "outputs"),
    (r"\bmargin\b", "output"),
)


@dataclass(frozen=True)
class Terms:
    """noun: what one example is called. target: the number that is predicted; empty for classes."""

    noun: str = IMAGE
    target: str = ""

    @cached_property
    def _replacements(self) -> tuple[Replacement, ...]:
        found = [(rf"\b{before}\b", after) for before, after in self._nouns()]
        found += FOR_NUMBERS if self.target else ()
        return tuple((re.compile(before), after) for before, after in found)

    def _nouns(self) -> list[tuple[str, str]]:
        if self.noun == IMAGE:
            return []
        noun, article = self.noun, "an" if self.noun[0] in "aeiou" else "a"
        return [
            ("an image", f"{article} {noun}"),
            ("An image", f"{article.capitalize()} {noun}"),
            ("image", noun),
            ("images", f"{noun}s"),
            ("Image", noun.capitalize()),
            ("Images", f"{noun.capitalize()}s"),
        ]

    @property
    def usual(self) -> bool:
        """Whether they are images of classes, of which everything is written."""
        return not self._replacements

    def said(self, text: str) -> str:
        """Return a sentence in these terms."""
        for before, after in self._replacements:
            text = before.sub(after, text)
        return text

    def page(self, html: str) -> str:
        """Return a page whose prose, and whose words for figures, are in these terms."""
        if self.usual:
            return html
        parts = SHOWN.split(html)
        parts[::2] = map(self.said, parts[::2])
        parts[1::2] = [ALT.sub(lambda found: self.said(found[0]), part) for part in parts[1::2]]
        return "".join(parts)
