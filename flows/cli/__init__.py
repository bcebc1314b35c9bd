"""The command line: ``modeldiff VERB [overrides]``.

Kept light, since worker processes import it too: Hydra, torch and Prefect come in with the verb that needs them.
"""

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn, cast

from modeldiff_core import __version__
from modeldiff_core.errors import ConfigError, ModelDiffError, meant
from modeldiff_platform.flows.cli import volume
from modeldiff_platform.flows.cli.interrupts import WORDS, interruptible
from modeldiff_platform.flows.cli.streams import outlets
from modeldiff_platform.flows.prefect_api.run_log import name_log, unexpected
from modeldiff_platform.flows.prefect_api.surroundings import home_folder, stays_here

DONE, FAILED, WRONG = 0, 1, 2

VERBS = {
    "plan": "show what an experiment would run: shards done and missing, and the time that takes",
    "run": "run the experiment of a study, from the first step to the report",
    "compare": "run a comparison of two algorithms",
    "counterfactual": "train without the examples that datamodels call most helpful, and see whether they were right",
    "remove": "find the training examples behind each confirmed difference, and train without them",
    "preview": "see how two algorithms may differ from a few differentiated trainings, before thousands are trained",
    "compare-adopted": "compare margins or attributions that are in the store, whatever made them",
    "sweep": "run a study over a grid of overrides: +sweep.KEY=[VALUE,VALUE]",
    "status": "show what the store holds of an experiment",
    "report": "write the summary and the report of a finished experiment again",
    "verify": "read every result of an experiment and name what is damaged, foreign, missing or stray",
    "verify-adopted": "do the same for a comparison of what is in the store",
    "deploy": "register an experiment on a work pool of a Prefect server: form, schedules, limits, notices",
    "ui": "serve the history of runs until interrupted",
    "adopt": "take margins and masks, or attributions, that were made elsewhere into the store",
    "export": "write margins and masks, or datamodels, out of the store",
}
KINDS = {
    "compare": "",
    "counterfactual": "counterfactual",
    "remove": "removal",
    "preview": "preview",
    "compare-adopted": "compare_adopted",
    "verify-adopted": "compare_adopted",
    "sweep": "sweep",
}
"""The experiment that a verb stands for; empty for that of the study."""
VERIFIES = "verify", "verify-adopted"
LOOKS = "plan", "status", "report", "verify", "verify-adopted", "ui", "list", "show", "clean", "completion"
"""Verbs that compute nothing of which their output is but a part."""
LIST = "list what can be asked for: studies, datasets, algorithms, transformations, estimators"
SHOW = "show the whole configuration of a study, with the overrides that are given"
CLEAN = "show what a store holds by study and size, and remove what no finished study needs"
COMPLETION = "print the completion of the command line for a shell"
RETRY = "run a flow run again that failed, crashed or was cancelled: only what the store lacks"
FLAGS = "repair", "notify", "remove", "forget"
"""Flags that a verb is given besides its overrides."""
PYTHON = "plan", "run", "compare", "status", "report", "verify"
"""Verbs that take a study in a Python module."""
SETTINGS = "settings of the study, the store and the runner, as in subsets.models=4000 store.root=runs"
DATA_BUILD = "load and check a dataset, and write its manifest, and FFCV betons where they are of use"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 done, 1 the run failed or its output was lost, 2 the request was wrong."""
    with outlets() as output, interruptible():
        stays_here()
        name_log(home_folder())
        try:
            given = parser().parse_args(arguments)
            volume.set_level(given)
        except SystemExit as end:
            output.flush()
            raise SystemExit(FAILED if not end.code and output.lost else end.code) from None
        output.quiet = given.verb in LOOKS
        code = _carried_out(given)
        output.flush()
        return FAILED if code == DONE and output.lost else code


class Parser(argparse.ArgumentParser):
    """A parser that asks, after an unknown verb, for the one that was probably meant."""

    def error(self, message: str) -> NoReturn:
        given = re.search(r"argument VERB: invalid choice: '(\S+)' \(choose from (.*)\)", message)
        hint = meant(given[1], re.findall(r"[\w-]+", given[2])) if given else ""
        super().error(f"{message}. {hint}" if hint else message)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    whole = Parser(
        prog="modeldiff",
        description="How do two learning algorithms differ?",
        epilog="Settings follow the verb: modeldiff compare study=digits_watermark subsets.models=4000 "
        "store.root=s3://bucket/prefix. `modeldiff list studies` shows the studies, `modeldiff show study=NAME` all "
        "settings of one.",
    )
    whole.add_argument("--version", action="version", version=f"modeldiff {__version__}")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, words in VERBS.items():
        one = verbs.add_parser(verb, help=words, description=words)
        words = "MODULE:STUDY, a study in Python, or settings as in subsets.models=4000"
        one.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=words if verb in PYTHON else SETTINGS)
        volume.add_flags(one)
        if verb in VERIFIES:
            one.add_argument("--repair", action="store_true", help="remove it; not while a run writes to the store")
        if verb == "deploy":
            one.add_argument("--notify", metavar="BLOCK", help="send notices of ended runs to this block: kind/name")
    lists = verbs.add_parser("list", help=LIST, description=LIST)
    lists.add_argument(
        "overrides", nargs="*", metavar="WHAT", help="studies, datasets, algorithms, transformations, ..."
    )
    shown = verbs.add_parser("show", help=SHOW, description=SHOW)
    shown.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=SETTINGS)
    clean = verbs.add_parser("clean", help=CLEAN, description=CLEAN)
    clean.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="store.root=... and other settings of the store"
    )
    clean.add_argument(
        "--remove", action="store_true", help="remove what no finished study needs, a day after it was written"
    )
    clean.add_argument("--forget", metavar="STUDY", help="remove a finished study first, by its name in the list")
    completion = verbs.add_parser("completion", help=COMPLETION, description=COMPLETION)
    completion.add_argument(
        "overrides", nargs=1, metavar="SHELL", help="bash or zsh: source <(modeldiff completion bash)"
    )
    again = verbs.add_parser("retry", help=RETRY, description=RETRY)
    again.add_argument("overrides", metavar="RUN", help="a run's name or id, as the UI shows them")
    data = verbs.add_parser("data", help="check a dataset and prepare it for training")
    build = data.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "build",
        help=DATA_BUILD,
        description=DATA_BUILD,
        epilog="For example: dataset=cifar10 dataset.folder=cifar-10-batches-bin data.out=built",
    )
    build.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=SETTINGS)
    return whole


def _carried_out(given: argparse.Namespace) -> int:
    try:
        run = implementation(given.verb)
        flags = {name: value for name, value in vars(given).items() if name in FLAGS}
        return run(given.overrides, **flags)
    except ConfigError as error:
        print(f"modeldiff: {error}", file=sys.stderr)
        return WRONG
    except ModelDiffError as error:
        print(f"modeldiff: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(WORDS, file=sys.stderr)
        return FAILED
    except Exception as error:
        print(f"modeldiff: {unexpected(error)}", file=sys.stderr)
        if volume.loud():
            traceback.print_exc()
        return FAILED


def implementation(verb: str) -> Callable[..., int]:
    """Return the function that carries a verb out; imports only that."""
    if verb == "data":
        from modeldiff_platform.flows.cli.data import build

        return build
    if verb in ("adopt", "export"):
        from modeldiff_platform.flows.cli import adopted

        return cast(Callable[..., int], getattr(adopted, verb))
    if verb in ("list", "show"):
        from modeldiff_platform.flows.cli import listing

        return listing.listing if verb == "list" else listing.show
    if verb == "clean":
        from modeldiff_platform.flows.cli.clean import clean

        return clean
    if verb == "completion":
        from modeldiff_platform.flows.cli.completion import completion

        return completion
    if verb == "deploy":
        from modeldiff_platform.flows.cli.deploy import deploy

        return deploy
    if verb == "retry":
        from modeldiff_platform.flows.cli.retry import retry

        return retry
    if verb in VERIFIES:
        from modeldiff_platform.flows.cli.verify import verify

        return partial(verify, kind=KINDS.get(verb, ""))
    from modeldiff_platform.flows.cli import verbs

    if verb in KINDS:
        return partial(verbs.run, kind=KINDS[verb])
    return cast(Callable[..., int], getattr(verbs, verb))
