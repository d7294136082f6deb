"""Plays every deviation of every role: `--help`, or d2m_jax/cli/best_response.py."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from d2m_jax.cli.best_response import main

if __name__ == "__main__":
    sys.exit(main())
