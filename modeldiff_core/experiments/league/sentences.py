"""What a league found, in a few sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

SAID = 3
"""Most pairs that a sentence names."""


def sentences(
    entries: Sequence[Mapping[str, Any]], names: Mapping[str, str], level: float, models: int
) -> tuple[str, ...]:
    """Return which pairs differ, which would alone, which differ least, and what they share.

    Args:
        entries: Of `overview`.
        names: What people call the algorithms, by short name.
        level: α over all pairs.
        models: Subset models of each algorithm.

    """
    count = len(entries)
    different = [entry for entry in entries if entry["answer"] == "different"]
    said = [_different(different, names, count, level)]
    alone = [entry for entry in entries if entry["alone"] == "different" and entry["answer"] != "different"]
    if alone:
        said.append(
            f"Seen alone, {_list([_pair(entry, names) for entry in alone])} would count as different, too; among "
            f"{count} pairs chance gives as much."
        )
    equivalent = [entry for entry in entries if entry["answer"] == "equivalent"]
    if equivalent:
        said.append(
            f"Equivalent within the margin, over all pairs: {_list([_pair(one, names) for one in equivalent])}."
        )
    closest = min(entries, key=lambda entry: entry["total"]["value"])
    said.append(
        f"Least differs between {_pair(closest, names)}: {_share(closest['total'])} of a datamodel; the mean cosine of "
        f"their datamodels, with the noise of both, is {closest['similarity']:.2f}."
    )
    said.append(
        f"The {count} pairs share {len(names)} × {models:,} subset models: none was trained twice. The page of a "
        "pair is what a comparison of these two alone gives; its verdict does not know of the other pairs."
    )
    return tuple(said)


def _different(entries: Sequence[Mapping[str, Any]], names: Mapping[str, str], count: int, level: float) -> str:
    how = f"(Holm over {count} pairs, level {level:g})"
    if not entries:
        return f"No pair of the {len(names)} algorithms differs beyond chance in what it relies on {how}."
    told = [
        f"{_pair(one, names)} (all that differs {_share(one['total'])} of a datamodel, p = {one['p_adjusted']:.2g})"
        for one in entries
    ]
    verb = "differs" if len(entries) == 1 else "differ"
    return f"Of {count} pairs {len(entries)} {verb} beyond chance in what they rely on {how}: {_list(told)}."


def _pair(entry: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return f"{names[entry['a']]} and {names[entry['b']]}"


def _share(total: Mapping[str, Any]) -> str:
    value, low, high = (total[key] for key in ("value", "low", "high"))
    if low is None or high is None:
        return f"{100 * value:.0f} %"
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _list(parts: Sequence[str]) -> str:
    more = f"; and {len(parts) - SAID} more" if len(parts) > SAID else ""
    return "; ".join(parts[:SAID]) + more
