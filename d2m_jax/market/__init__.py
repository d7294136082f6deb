"""The market: read `engine.py` first."""

from d2m_jax.market.engine import Market, MarketOutcome, make_market

__all__ = ["Market", "MarketOutcome", "make_market"]
