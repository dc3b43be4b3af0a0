"""`python -m ngw <stage>` is what one rule of the workflow runs; `python -m ngw <stage> --help` explains it."""

import sys

from ngw.cli import main

if __name__ == "__main__":
    sys.exit(main())
