"""What a run shows after every few rounds to whoever looks on: loggers, checkpoints."""

from collections.abc import Sequence
from typing import Protocol

from d2m_jax.market.state import Evaluation, MarketState, RoundInfo


class Chunk(Protocol):
    """What `collect` shows after some rounds; see `market/collect.py`."""

    @property
    def state(self) -> MarketState:
        """The state after them."""

    @property
    def evaluation(self) -> Evaluation:
        """Of the model after them."""

    @property
    def done(self) -> int:
        """Rounds done."""

    @property
    def total(self) -> int:
        """Rounds in all."""

    @property
    def pieces(self) -> Sequence[tuple[RoundInfo, Evaluation]]:
        """Of every chunk so far, this one included."""
