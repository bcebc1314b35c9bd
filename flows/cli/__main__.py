"""``python -m flows.cli``: the command line without its entry point."""

import sys

from flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
