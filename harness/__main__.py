"""`python -m harness` is the command `harness`."""

import sys

from harness.cli import command

if __name__ == "__main__":
    sys.exit(command())
