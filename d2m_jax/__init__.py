"""D2M, a decentralised marketplace for collaborative learning, simulated in JAX.

Read `market/engine.py` first. Each room (`aggregation`, `attacks`, `cone`, `court`, `data`,
`incentives`, `ledger`, `sampling`, `sellers`, `tasks`) works alone, as pure functions of arrays.
"""

from d2m_jax.config import DataSpec, HParams, Spec, as_arrays
from d2m_jax.config.parsing import default_config, parse_config
from d2m_jax.market import Market, MarketOutcome, make_market, validate
from d2m_jax.tasks import Task

__version__ = "0.2.0"

__all__ = [
    "DataSpec",
    "HParams",
    "Market",
    "MarketOutcome",
    "Spec",
    "Task",
    "as_arrays",
    "default_config",
    "make_market",
    "parse_config",
    "validate",
]
