"""``python -m modeldiff``: the command line by the name that it has on the terminal."""

import sys

from modeldiff_platform.flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
