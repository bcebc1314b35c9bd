"""Overrides of small studies, as the command line takes them, from the quickest to one that trains for a while.

One worker where a second has nothing to show: each imports torch, which takes longer than what it would train.
"""

SMALL = (
    "study=digits_watermark",
    "comparison=residual",
    "dataset.n_train=300",
    "targets=100",
    "subsets.models=240",
    "subsets.evaluation_models=40",
    "subsets.shard_size=40",
    "ensemble.models=6",
    "ensemble.shard_size=3",
    "regression.n_lambdas=6",
    "comparison.components=4",
    "comparison.permutations=4",
    "runner.workers=1",
)
"""A whole comparison in seconds; too few models to find much."""
CONTRASTED = (
    "study=digits_watermark",
    "dataset.n_train=300",
    "targets=100",
    "subsets.models=240",
    "subsets.evaluation_models=40",
    "subsets.shard_size=40",
    "ensemble.models=6",
    "ensemble.shard_size=3",
    "regression.estimator=ridge",
    "comparison.components=4",
    "comparison.draws=19",
)
"""The same models, compared by a contrast."""
_TINY = (
    "study=digits_watermark",
    "comparison=residual",
    "transformation@transformations=digits_watermark",
    "dataset.n_train=200",
    "targets=40",
    "subsets.models=80",
    "subsets.evaluation_models=10",
    "subsets.shard_size=20",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=4",
    "comparison.components=2",
    "comparison.permutations=2",
    "algorithm_a.recipe.epochs=2",
    "algorithm_b.recipe.epochs=2",
)
TINY = (*_TINY, "runner.workers=2")
"""Twelve shards and the rest of a comparison in as little work as can be."""
UNTESTED = (*_TINY, "transformations=null", "search.directions=0", "runner.workers=1")
"""TINY without effects of transformations, a search and a second worker, for tests of what is around a study."""
ADAPTIVE = (
    "study=digits_watermark",
    "comparison=residual",
    "dataset.n_train=200",
    "targets=60",
    "subsets.models=400",
    "subsets.evaluation_models=20",
    "subsets.shard_size=20",
    "subsets.adaptive=true",
    "subsets.rounds.least_gain=0.5",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=6",
    "comparison.components=2",
    "comparison.permutations=0",
    "effects.max_images=20",
    "search.directions=0",
    "runner.workers=1",
)
"""Rounds that end as soon as the law of the learning curve can be fitted."""
DRILLED = (
    "study=digits_watermark",
    "comparison=residual",
    "dataset.n_train=200",
    "targets=60",
    "subsets.models=400",
    "subsets.evaluation_models=40",
    "subsets.shard_size=20",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=4",
    "comparison.components=2",
    "comparison.permutations=0",
    "transformations=null",
)
"""Many short shards, killed by drills while they train."""
DRILLED_SHARDS = 2 * (400 // 20 + 4 // 2)
