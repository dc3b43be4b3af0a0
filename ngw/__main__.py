"""`python -m ngw <stage>` is the command of one rule of the workflow; `python -m ngw <stage> --help` explains it."""

import sys

from ngw.cli import main

if __name__ == "__main__":
    sys.exit(main())
