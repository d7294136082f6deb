"""Says how safe, slow and dear the vote is: `--help`, or d2m_jax/cli/cone_study.py."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from d2m_jax.cli.cone_study import main

if __name__ == "__main__":
    sys.exit(main())
