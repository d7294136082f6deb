"""CONE, the compute network: execution sets, votes on digests, stop rules.

Registries, by name: `SCHEDULES`, `SORTITIONS`, `STOP_RULES`. Read first: `consensus.py`.
"""

from d2m_jax.cone.behaviours import Behaviour, Outcome, split_stakes
from d2m_jax.cone.consensus import Consensus, decide
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import SCHEDULES
from d2m_jax.cone.sortition import SORTITIONS
from d2m_jax.cone.stop_rules import STOP_RULES

__all__ = [
    "SCHEDULES",
    "SORTITIONS",
    "STOP_RULES",
    "Behaviour",
    "ConeParams",
    "Consensus",
    "Outcome",
    "decide",
    "split_stakes",
]
