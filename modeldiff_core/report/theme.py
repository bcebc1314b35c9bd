"""The colors of the report, shared by its figures and its style sheet."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Theme:
    """Colors for one background; a and b differ in lightness too, and text colors reach a contrast of 4.5."""

    paper: str
    raised: str
    ink: str
    muted: str
    faint: str
    line: str
    a: str
    b: str
    good: str

    def css(self) -> str:
        """Return the colors as custom properties."""
        return "".join(f"--{name}:{color};" for name, color in asdict(self).items())


LIGHT = Theme(
    paper="#ffffff",
    raised="#f6f7f8",
    ink="#1b2025",
    muted="#5a646e",
    faint="#b4bcc4",
    line="#e1e5e9",
    a="#1f5fa8",
    b="#b8501a",
    good="#1d7048",
)
DARK = Theme(
    paper="#14171a",
    raised="#1d2125",
    ink="#e6e9ec",
    muted="#9da7b1",
    faint="#58626c",
    line="#30363d",
    a="#7db7f5",
    b="#f29a62",
    good="#6fcf9b",
)
