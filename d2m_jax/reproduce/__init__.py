"""The paper's results again: declared experiments, run as sweeps, told as tables, held to bands.

`experiments.py` is the table of what is run and what must hold; `run.py` runs it, `tables.py` and
`pages.py` write what came out. The command is `d2m reproduce`.
"""

from d2m_jax.reproduce.bands import Band, Verdict, judge
from d2m_jax.reproduce.cases import Case, Experiment
from d2m_jax.reproduce.experiments import GRIDS
from d2m_jax.reproduce.run import Asked, results_of, run_experiment

__all__ = [
    "GRIDS",
    "Asked",
    "Band",
    "Case",
    "Experiment",
    "Verdict",
    "judge",
    "results_of",
    "run_experiment",
]
