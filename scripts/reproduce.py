"""Reproduces the results of the paper: `--help`, or d2m_jax/cli/reproduce.py."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from d2m_jax.cli.reproduce import main

if __name__ == "__main__":
    sys.exit(main())
