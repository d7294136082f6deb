"""The market: read `engine.py` first."""

from d2m_jax.market.auction import AUCTIONS
from d2m_jax.market.collect import Chunk, collect, compiled
from d2m_jax.market.devices import copied, over_devices
from d2m_jax.market.disputes import DISPUTES
from d2m_jax.market.engine import Market, make_market, market_of
from d2m_jax.market.job_data import deal_jobs, serving
from d2m_jax.market.jobs import job_of
from d2m_jax.market.queue import Epochs, Figures, figures_of, serve
from d2m_jax.market.roles import Roles, draw_roles
from d2m_jax.market.state import MarketOutcome, MarketState
from d2m_jax.market.validation import validate
from d2m_jax.market.world import deal, load_dataset, load_world

__all__ = [
    "AUCTIONS",
    "DISPUTES",
    "Chunk",
    "Epochs",
    "Figures",
    "Market",
    "MarketOutcome",
    "MarketState",
    "Roles",
    "collect",
    "compiled",
    "copied",
    "deal",
    "deal_jobs",
    "draw_roles",
    "figures_of",
    "job_of",
    "load_dataset",
    "load_world",
    "make_market",
    "market_of",
    "over_devices",
    "serve",
    "serving",
    "validate",
]
