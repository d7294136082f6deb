"""CONE, the compute network: execution sets, votes on digests, stop rules.

Registries, by name: `SCHEDULES`, `SORTITIONS`, `STOP_RULES`. Read first: `consensus.py`; the exact
probabilities are in `exact.py`, real hashes and re-execution in `reexecute.py`.
"""

from d2m_jax.cone.behaviours import Behaviour, Outcome, split_stakes
from d2m_jax.cone.checks import validate
from d2m_jax.cone.consensus import Consensus, decide
from d2m_jax.cone.exact import (
    ExactVote,
    capture_probability,
    exact_attempts,
    exact_error,
    exact_executions,
    exact_vote,
)
from d2m_jax.cone.hashing import equivocators, published_hash
from d2m_jax.cone.params import ConeParams, larger
from d2m_jax.cone.reexecute import Reexecution, reexecute
from d2m_jax.cone.schedules import SCHEDULES
from d2m_jax.cone.sortition import SORTITIONS, draw_sets
from d2m_jax.cone.stop_rules import STOP_RULES, lead_needed

__all__ = [
    "SCHEDULES",
    "SORTITIONS",
    "STOP_RULES",
    "Behaviour",
    "ConeParams",
    "Consensus",
    "ExactVote",
    "Outcome",
    "Reexecution",
    "capture_probability",
    "decide",
    "draw_sets",
    "equivocators",
    "exact_attempts",
    "exact_error",
    "exact_executions",
    "exact_vote",
    "larger",
    "lead_needed",
    "published_hash",
    "reexecute",
    "split_stakes",
    "validate",
]
