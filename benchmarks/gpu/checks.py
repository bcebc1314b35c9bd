"""The list of checks, in the order in which they are run: comparisons first, then rates.

A further kernel is one line here. Budgets are in seconds; their sum leaves half a minute of the ten for processes to
start.
"""

from functools import partial

from benchmarks.gpu.agreement import cnn, heads, mlp, resnet9, resnet9_compiled
from benchmarks.gpu.directions import directions, directions_rate
from benchmarks.gpu.memory import halving
from benchmarks.gpu.metagradients import metagradient_products
from benchmarks.gpu.rates import Race, race
from benchmarks.gpu.regression import lasso, lasso_rate, lasso_side_by_side, ridge
from benchmarks.gpu.results import Check
from benchmarks.gpu.tasks import CNN, MLP, RESNET9, SMALL_RESNET9

SMALL_STACKS = (16, 64, 256, 1024)
RACES = {
    "ResNet-9": Race("ResNet-9", RESNET9, 50_000, (2, 4), little=False),
    "ResNet-9, compiled": Race("ResNet-9", RESNET9, 50_000, (), compiled=True, little=False),
    "ResNet-9 (1/8)": Race("ResNet-9 (1/8)", SMALL_RESNET9, 50_000, (2, 4, 8, 16), (2, 4)),
    "CNN": Race("CNN 16-32", CNN, 2_000, SMALL_STACKS),
    "MLP": Race("MLP 784-64-10", MLP, 2_000, SMALL_STACKS, (2, 4)),
}

CHECKS = (
    Check("trainers: MLP", mlp, 15),
    Check("trainers: CNN", cnn, 15),
    Check("trainers: ResNet-9", resnet9, 20),
    Check("trainers: heads", heads, 10),
    Check("lasso", lasso, 20),
    Check("ridge", ridge, 10),
    Check("residual PCA", directions, 10),
    Check("out of memory", halving, 20),
    Check("metagradients: ResNet-9", metagradient_products, 35),
    Check("trainers: torch.compile", resnet9_compiled, 85),
    Check("rates: ResNet-9 (1/8)", partial(race, RACES["ResNet-9 (1/8)"]), 75),
    Check("rates: MLP", partial(race, RACES["MLP"]), 45),
    Check("rates: CNN", partial(race, RACES["CNN"]), 35),
    Check("rates: ResNet-9", partial(race, RACES["ResNet-9"]), 45),
    Check("rates: lasso against the CPU", lasso_side_by_side, 15),
    Check("rates: lasso", lasso_rate, 40),
    Check("rates: residual PCA", directions_rate, 20),
    Check("rates: ResNet-9, compiled", partial(race, RACES["ResNet-9, compiled"]), 60),
)
