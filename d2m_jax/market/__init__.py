"""The market: read `engine.py` first."""

from d2m_jax.market.auction import AUCTIONS
from d2m_jax.market.collect import Chunk, collect, compiled
from d2m_jax.market.engine import Market, make_market, market_of
from d2m_jax.market.roles import Roles
from d2m_jax.market.state import MarketOutcome, MarketState
from d2m_jax.market.validation import validate
from d2m_jax.market.world import deal, load_dataset, load_world

__all__ = [
    "AUCTIONS",
    "Chunk",
    "Market",
    "MarketOutcome",
    "MarketState",
    "Roles",
    "collect",
    "compiled",
    "deal",
    "load_dataset",
    "load_world",
    "make_market",
    "market_of",
    "validate",
]
