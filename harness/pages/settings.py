"""The page of settings: every group of a comparison's study, from the classes that validate it."""

from collections.abc import Iterator

from pydantic import BaseModel

from modeldiff_core.study.config import StudyConfig

PAGE = "reference/settings.md"


def groups(settings: type[BaseModel] = StudyConfig, prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the dotted key and the class of every group of settings below a class, in the order of its fields."""
    for name, field in settings.model_fields.items():
        for kind in _classes(field.annotation):
            yield f"{prefix}{name}", kind
            yield from groups(kind, f"{prefix}{name}.")


def _classes(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for argument in getattr(annotation, "__args__", ()):
        yield from _classes(argument)


def settings_page() -> str:
    """Return the Markdown of the page."""
    lines = [
        "# Settings\n",
        "The settings of a comparison, as `modeldiff show study=NAME` prints them and as they are overridden: "
        "`subsets.models=4000`. A value that is out of its bounds is refused before anything runs, with its key.\n",
        _block(StudyConfig, "Of the study itself"),
    ]
    seen: set[type[BaseModel]] = {StudyConfig}
    for key, kind in groups():
        if kind not in seen:
            seen.add(kind)
            lines.append(_block(kind, f"`{key}`"))
    return "\n".join(lines)


def _block(kind: type[BaseModel], title: str) -> str:
    own = [name for name in kind.model_fields if name in kind.__annotations__]
    options = {
        "heading_level": 3,
        "show_root_heading": "false",
        "show_root_toc_entry": "false",
        "show_if_no_docstring": "true",
        "show_bases": "false",
        "show_source": "false",
        "members": f"[{', '.join(own)}]",
    }
    said = "".join(f"      {name}: {value}\n" for name, value in options.items())
    return f"## {title}\n\n::: {kind.__module__}.{kind.__qualname__}\n    options:\n{said}"
