"""The command line: ``modeldiff VERB [overrides]``.

Kept light, since worker processes import it too: Hydra, torch and Prefect come in with the verb that needs them.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from modeldiff_core.errors import ConfigError, ModelDiffError

DONE, FAILED, WRONG = 0, 1, 2

VERBS = {
    "plan": "what a comparison would run: shards done and missing, and the time that takes",
    "compare": "run a comparison from training to report",
    "status": "what the store holds of a comparison",
    "report": "draw the report of a finished comparison again",
    "ui": "serve the history of runs until interrupted",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 done, 1 the run failed, 2 the request was wrong."""
    parser = argparse.ArgumentParser(
        prog="modeldiff",
        description="How do two learning algorithms differ?",
        epilog="Overrides follow Hydra: study=digits_watermark subsets.models=4000 store.root=s3://bucket/prefix",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, words in VERBS.items():
        verbs.add_parser(verb, help=words, description=words).add_argument(
            "overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides"
        )
    given = parser.parse_args(arguments)
    from flows import verbs as implementations

    run: Callable[[Sequence[str]], int] = getattr(implementations, given.verb)
    try:
        return run(given.overrides)
    except ConfigError as error:
        print(f"modeldiff: {error}", file=sys.stderr)
        return WRONG
    except ModelDiffError as error:
        print(f"modeldiff: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("modeldiff: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
