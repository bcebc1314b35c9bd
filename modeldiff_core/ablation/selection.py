"""Which parts of a network are its components: filters, rows, neurons, heads or inputs, chosen by the module's name."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from modeldiff_core.ablation.components import Components, Layer, Place, Slice, check_parameters
from modeldiff_core.errors import ConfigError
from modeldiff_core.models.gpt2 import Projection
from modeldiff_core.registry import Registry

KEY = "components"
PROJECTIONS = "out_proj", "proj", "c_proj", "o_proj"
"""Names of the linear layer that joins the heads of an attention."""
HEADS = "num_heads", "n_head", "heads"
"""Names of the attribute that says how many heads an attention has."""
NEURONS = re.compile(r"(.*\.)?(fc1|c_fc|linear1|lin1|mlp\.0|mlp\.fc|dense_h_to_4h|up_proj)")
"""Names of the linear layers whose rows are an MLP block's neurons in common transformers."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Selection:
    """Components by kind and by the names of their modules.

    kind: 'filters' of convolutions, 'rows' (outputs) of linear layers or of an attention's joint projection, 'neurons'
    of the MLP blocks of a transformer, 'heads' of attentions, 'inputs' (columns) of linear layers, or a registered
    function. pattern: a regular expression that the module's whole name matches. leave_out: one that it does not.
    The head of a network of this package is no component unless `pattern` is its very name.
    """

    kind: str = "filters"
    pattern: str = ".*"
    leave_out: str = ""

    def __post_init__(self) -> None:
        for name in ("pattern", "leave_out"):
            try:
                re.compile(getattr(self, name))
            except re.error as error:
                raise ConfigError(f"{KEY}.{name}", "a regular expression", getattr(self, name), str(error)) from error

    def takes(self, name: str) -> bool:
        """Return whether a module of that name is selected."""
        left_out = self.leave_out and re.fullmatch(self.leave_out, name)
        return bool(re.fullmatch(self.pattern, name)) and not left_out


Selector = Callable[[str, nn.Module], Layer | None]
"""From a module's name and the module to its components; None for a module that has none of that kind."""


def filters_of(name: str, module: nn.Module) -> Layer | None:
    """Return the filters of a convolution."""
    if not isinstance(module, CONVOLUTIONS):
        return None
    return Layer(name, "filter", "output", module.out_channels, 1, 1, _rows(name, module))


def rows_of(name: str, module: nn.Module) -> Layer | None:
    """Return the rows of a linear layer, or of the joint projection of torch's attention."""
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        bias = [Slice(f"{name}.in_proj_bias", 0, True)] if module.in_proj_bias is not None else []
        slices = (Slice(f"{name}.in_proj_weight", 0), *bias)
        return Layer(name, "row", "parameter", len(module.in_proj_weight), 0, 1, slices)
    if isinstance(module, Projection):
        return Layer(name, "row", "output", module.out_features, -1, 1, _rows(name, module))
    if not isinstance(module, nn.Linear):
        return None
    place = _place(module)
    return Layer(name, "row", place, module.out_features, -1 if place == "output" else 0, 1, _rows(name, module))


def neurons_of(name: str, module: nn.Module) -> Layer | None:
    """Return the hidden neurons of an MLP block: the rows of its first layer."""
    if not isinstance(module, nn.Linear | Projection) or not NEURONS.fullmatch(name):
        return None
    return Layer(name, "neuron", "output", module.out_features, -1, 1, _rows(name, module))


def heads_of(name: str, module: nn.Module) -> Layer | None:
    """Return the heads of an attention: what each gives to the projection that joins them."""
    count = next((getattr(module, word) for word in HEADS if isinstance(getattr(module, word, None), int)), None)
    found = [(word, getattr(module, word, None)) for word in PROJECTIONS]
    joining = next(((word, one) for word, one in found if isinstance(one, nn.Linear | Projection)), None)
    if count is None or joining is None:
        return None
    word, projection = joining
    size, full = projection.in_features // count, f"{name}.{word}" if name else word
    axis = 0 if isinstance(projection, Projection) else 1
    if isinstance(module, nn.MultiheadAttention):
        return Layer(full, "head", "parameter", count, axis, size, (Slice(f"{full}.weight", axis),))
    return Layer(full, "head", "input", count, -1, size, (Slice(f"{full}.weight", axis),))


def inputs_of(name: str, module: nn.Module) -> Layer | None:
    """Return the inputs of a linear layer: the columns of its weight."""
    if isinstance(module, Projection):
        return Layer(name, "input", "input", module.in_features, -1, 1, (Slice(f"{name}.weight", 0),))
    if not isinstance(module, nn.Linear):
        return None
    place: Place = "input" if _place(module) == "output" else "parameter"
    axis = -1 if place == "input" else 1
    return Layer(name, "input", place, module.in_features, axis, 1, (Slice(f"{name}.weight", 1),))


SELECTORS: Registry[Selector] = Registry(
    "modeldiff.components",
    f"{KEY}.kind",
    {"filters": filters_of, "heads": heads_of, "inputs": inputs_of, "neurons": neurons_of, "rows": rows_of},
)
"""What finds the components of a module, by the ``kind`` of a selection; others register as entry points."""


def find_components(net: nn.Module, selections: Sequence[Selection]) -> Components:
    """Return the components that selections find in a network, which may be on torch's meta device.

    Modules come in the network's own order within a selection. Raises ConfigError, by the position of the selection,
    for a pattern that matches nothing or only modules without weights of the kind, and for shared weights.
    """
    if not selections:
        raise ConfigError(KEY, "one selection of components or more", [])
    layers: list[Layer] = []
    for position, selection in enumerate(selections):
        found = list(_selected(net, selection))
        if not found:
            raise _nothing(net, selection, f"{KEY}.{position}.pattern")
        layers += found
    check_parameters(net, layers, KEY)
    return Components(tuple(layers))


def _selected(net: nn.Module, selection: Selection) -> Iterator[Layer]:
    selector = SELECTORS.get(selection.kind)
    head = getattr(net, "head_name", None)
    for name, module in net.named_modules():
        if selection.takes(name) and (name != head or selection.pattern == head):
            layer = selector(name, module)
            if layer is not None and layer.count:
                yield layer


def _nothing(net: nn.Module, selection: Selection, key: str) -> ConfigError:
    """Return the error for a selection that found nothing; it says whether a name matched."""
    matched = [(name, type(module).__name__) for name, module in net.named_modules() if selection.takes(name)]
    matched = [(name, kind) for name, kind in matched if name]
    if matched and selection.pattern != ".*":
        shown = ", ".join(f"{name} ({kind})" for name, kind in matched[:4])
        return ConfigError(
            key, f"the name of a module with weights that has {selection.kind}", selection.pattern, shown
        )
    names = [name for name, module in net.named_modules() if list(module.parameters(recurse=False))]
    shown = f"Modules with weights: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}"
    return ConfigError(key, f"a pattern that matches a module that has {selection.kind}", selection.pattern, shown)


def _rows(name: str, module: nn.Module) -> tuple[Slice, ...]:
    bias = [Slice(f"{name}.bias", 0, True)] if getattr(module, "bias", None) is not None else []
    return (Slice(f"{name}.weight", 1 if isinstance(module, Projection) else 0), *bias)


def _place(module: nn.Module) -> Place:
    """Return 'parameter' for the projection inside torch's attention, which never calls it as a module."""
    return "parameter" if type(module).__name__ == "NonDynamicallyQuantizableLinear" else "output"
