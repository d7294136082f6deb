"""D2M, a decentralised marketplace for collaborative learning, simulated in JAX.

Read `market.py` first. Each room (`aggregation`, `attacks`, `cone`, `data`, `incentives`, `ledger`,
`models`, `sampling`, `sellers`) works alone, as pure functions of arrays.
"""

from d2m_jax.config.hparams import HParams, as_arrays
from d2m_jax.config.parsing import default_config, parse_config
from d2m_jax.config.spec import DataSpec, Spec
from d2m_jax.market.engine import Market, MarketOutcome, make_market
from d2m_jax.market.validation import validate

__version__ = "0.1.0"

__all__ = [
    "DataSpec",
    "HParams",
    "Market",
    "MarketOutcome",
    "Spec",
    "as_arrays",
    "default_config",
    "make_market",
    "parse_config",
    "validate",
]
