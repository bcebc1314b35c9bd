"""Which axis of an attribution matrix holds the targets: stated, and checked against every size that is known."""

from collections.abc import Mapping

from modeldiff_core.errors import ConfigError

ORIENTATIONS = ("targets_train", "train_targets")


def is_transposed(
    shape: tuple[int, ...],
    stated: str | None,
    columns: Mapping[str, tuple[int, ...]],
    dataset: tuple[int, int] | None,
) -> bool:
    """Return whether a matrix of this shape is [train, targets], against ours [targets, train].

    stated: by the user or by the format. columns: shapes of what stands beside it with one entry a target (bias, λ).
    dataset: numbers of test and of training examples; targets are at most the former, train is the latter.

    Raises ConfigError for a statement that a size contradicts, sizes that fit neither way, and a matrix that nothing
    states and for which the sizes leave both ways open (always so if it is square).
    """
    known = [f"{name} has shape {column}" for name, column in columns.items()]
    if dataset is not None:
        known.append(f"the dataset has {dataset[0]} test and {dataset[1]} training examples")
    because = ", ".join(known) or "no bias, λ or dataset says how many targets there are"

    def fits(orientation: str) -> bool:
        targets, train = shape if orientation == "targets_train" else shape[::-1]
        sizes_fit = dataset is None or (targets <= dataset[0] and train == dataset[1])
        return sizes_fit and all(column == (targets,) for column in columns.values())

    fitting = [orientation for orientation in ORIENTATIONS if fits(orientation)]
    if not fitting:
        raise ConfigError("scores", "a matrix that fits what is known of its sizes", shape, because)
    if stated is not None:
        if stated not in fitting:
            raise ConfigError("orientation", fitting[0], stated, f"Scores of shape {shape}: {because}")
        return stated == "train_targets"
    if len(fitting) > 1 or shape[0] == shape[1]:
        raise ConfigError("orientation", " or ".join(ORIENTATIONS), None, f"Scores of shape {shape}: {because}")
    return fitting[0] == "train_targets"
