"""CONE, the compute network: execution sets, votes on digests, stop rules.

Registries, by name: `SCHEDULES`, `SORTITIONS`, `STOP_RULES`; a function of your own does as well
as a name. Read first: `consensus.py`; the exact probabilities are in `exact.py`, real hashes and
re-execution in `reexecute.py`.
"""

from d2m_jax.cone.behaviours import Behaviour, split_stakes
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
from d2m_jax.cone.exact_rules import ExactForm
from d2m_jax.cone.hashing import equivocators, published_hash
from d2m_jax.cone.params import ConeParams, larger
from d2m_jax.cone.reexecute import Reexecution, reexecute
from d2m_jax.cone.schedules import SCHEDULES, SetSchedule
from d2m_jax.cone.sortition import SORTITIONS, Sets, Sortition, draw_sets
from d2m_jax.cone.stop_rules import STOP_RULES, StopRule, Tally, lead_needed
from d2m_jax.core.outcomes import Outcome

__all__ = [
    "SCHEDULES",
    "SORTITIONS",
    "STOP_RULES",
    "Behaviour",
    "ConeParams",
    "Consensus",
    "ExactForm",
    "ExactVote",
    "Outcome",
    "Reexecution",
    "SetSchedule",
    "Sets",
    "Sortition",
    "StopRule",
    "Tally",
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
