"""Runs the command line as `python -m mtchat`."""

import sys

from mtchat.cli import main

if __name__ == "__main__":
    sys.exit(main())
