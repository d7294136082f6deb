"""Sweeps: thousands of markets in a few compiled programs, and nothing lost.

`space.py` makes points, `plan.py` turns them into runs and groups, `runner.py` runs them,
`store.py` keeps them, `load(path)` gives pandas frames.
"""

from d2m_jax.sweep.account import print_estimate, print_plan, print_summary
from d2m_jax.sweep.plan import Plan, Run, make_plan
from d2m_jax.sweep.runner import Options, own_keys, run_plan
from d2m_jax.sweep.space import axis, choice, draws, log_uniform, product, together, uniform
from d2m_jax.sweep.store import Results, StorageError, finished, load, load_parties

__all__ = [
    "Options",
    "Plan",
    "Results",
    "Run",
    "StorageError",
    "axis",
    "choice",
    "draws",
    "finished",
    "load",
    "load_parties",
    "log_uniform",
    "make_plan",
    "own_keys",
    "print_estimate",
    "print_plan",
    "print_summary",
    "product",
    "run_plan",
    "together",
    "uniform",
]
