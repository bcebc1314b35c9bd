"""Settings of ``checkpoints``."""

from typing import Annotated, Any, Literal

from pydantic import Field

from modeldiff_core.experiments.one_page import OnePageStudy
from modeldiff_core.settings import Settings
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.training.functions.form import Axes, Form

Numbers = float | tuple[float, ...]


class FormConfig(Settings):
    """How the network is given images, see ``Form``: by default float32 in 0..1 with channels first."""

    dtype: str = "float32"
    axes: Axes = "nchw"
    low: float = 0.0
    high: float = 1.0

    def form(self) -> Form:
        """Return the form."""
        return Form("torch", self.dtype, self.axes, self.low, self.high)


class NetworkConfig(Settings):
    """The network that checkpoints fit.

    network: import path of a subclass of ``torch.nn.Module`` or of a function that makes one, ``module:name``, or an
    architecture that ships, by name. arguments: its arguments. form: how it is given images. mean, scale: it gets
    (image − mean)/scale, one number or one a channel. source: a digest of its lines, filled in.
    """

    network: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    form: FormConfig = FormConfig()
    mean: Numbers = 0.0
    scale: Numbers = 1.0
    source: str = ""


class SideConfig(Settings):
    """Checkpoints of one algorithm.

    name: for people. checkpoints: files, or patterns of files, with a state dict each. states: digests of their
    weights, filled in when the files are read.
    """

    name: str
    checkpoints: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


class EstimatorConfig(Settings):
    """How one checkpoint's attributions are estimated.

    kind: 'ekfac', influence with a Kronecker-factored Gauss-Newton curvature (datamodels.ekfac), or 'trak' by the
    package traker with one checkpoint (datamodels.trak.DampedTrak). damping: of ekfac, as a multiple of a layer's mean
    curvature; of trak, of the mean eigenvalue of the projected gradients' matrix.
    dimensions: of the random projection of trak; half of the training examples, at most 4,096, if not given.
    """

    kind: Literal["ekfac", "trak"] = "ekfac"
    damping: Annotated[float, Field(gt=0)] = 1.0
    dimensions: Annotated[int, Field(ge=2)] | None = None


class CheckpointsStudy(OnePageStudy):
    """Two algorithms by their checkpoints.

    dataset: on which all of them were trained, with the test images that are explained. network: what the checkpoints
    fit. network_b: what those of B fit, where it is another network. targets: the first so many
    test images; all, but at most 1,000, if not given. basis: training directions in which they are compared.
    components: directions of a side that are shown. top: images at an end. significance: of the finding. seed: of
    random patterns of signs.
    """

    experiment: Literal["checkpoints"] = "checkpoints"
    dataset: DatasetConfig
    network: NetworkConfig
    network_b: NetworkConfig | None = None
    a: SideConfig
    b: SideConfig
    estimator: EstimatorConfig = EstimatorConfig()
    targets: Annotated[int, Field(ge=4)] | None = None
    basis: Annotated[int, Field(ge=2)] = 32
    components: Annotated[int, Field(ge=1)] = 4
    top: Annotated[int, Field(ge=1)] = 12
    significance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    seed: int = 0

    def network_of(self, side: str) -> NetworkConfig:
        """Return what the checkpoints of a side fit."""
        return self.network_b if side == "b" and self.network_b is not None else self.network
