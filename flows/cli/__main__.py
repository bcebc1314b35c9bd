"""``python -m modeldiff_platform.flows.cli``: the command line without its entry point."""

import sys

from modeldiff_platform.flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
