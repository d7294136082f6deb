"""CONE, the compute network: execution sets, votes on digests, stop rules.

Registries, by name: `SCHEDULES`, `SORTITIONS`, `STOP_RULES`; a function of your own does as well
as a name. Read first: `consensus.py`; the exact probabilities are in `exact.py`, real hashes and
re-execution in `reexecute.py`.
"""

from d2m_jax.cone.behaviours import Behaviour, split_stakes
from d2m_jax.cone.checks import validate
from d2m_jax.cone.consensus import Consensus, decide, latency
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
from d2m_jax.cone.schedules import SCHEDULES, SetSchedule, default_attempts
from d2m_jax.cone.sortition import SORTITIONS, Sets, Sortition, draw_sets, max_voters
from d2m_jax.cone.stop_rules import STOP_RULES, StopRule, Tally, lead_needed
from d2m_jax.cone.tables import vote_tables
from d2m_jax.core.outcomes import Outcome
from d2m_jax.core.vote_tables import VoteTables

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
    "VoteTables",
    "capture_probability",
    "decide",
    "default_attempts",
    "draw_sets",
    "equivocators",
    "exact_attempts",
    "exact_error",
    "exact_executions",
    "exact_vote",
    "larger",
    "latency",
    "lead_needed",
    "max_voters",
    "published_hash",
    "reexecute",
    "split_stakes",
    "validate",
    "vote_tables",
]
