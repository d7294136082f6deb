"""The one loop that runs a market from a script, a test or a notebook, chunk by chunk.

    outcome = collect(compiled(market), key, hparams, data, on_chunk=[print])

What looks on, writes tables, keeps checkpoints or draws a progress bar is an `on_chunk` callable.
For one run `programs.py` compiles side by side and quickly; inside other programs use
`market.run`, which is one function.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from d2m_jax.config.hparams import HParams
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.ledger import Ledger
from d2m_jax.market.engine import Market
from d2m_jax.market.roles import Roles
from d2m_jax.market.state import Evaluation, MarketOutcome, MarketState, RoundInfo
from d2m_jax.tasks import check_unit

Piece = tuple[RoundInfo, Evaluation]  # of the rounds up to one evaluation, on the host


class Chunk(NamedTuple):
    """What there is to see after the rounds up to an evaluation."""

    state: MarketState  # on the device; taken back when the next rounds begin: copy what is kept
    rounds: RoundInfo  # of this chunk, [eval_every, ...] numpy
    evaluation: Evaluation  # numpy scalars
    done: int  # rounds so far
    total: int  # rounds in all
    pieces: Sequence[Piece]  # of all chunks so far


OnChunk = Callable[[Chunk], Any]


class Compiled(NamedTuple):
    """The three programs of a market, compiled at their first call."""

    market: Market
    init: Callable[..., MarketState]
    rounds: Callable[..., tuple[MarketState, Piece]]
    finish: Callable[..., MarketOutcome]


def compiled(market: Market) -> Compiled:
    """The programs of a market; keep them to run other numbers, seeds or data without compiling."""
    mesh = market.parts.mesh
    jit = jax.jit if mesh is None else partial(jax.jit, out_shardings=NamedSharding(mesh, P()))
    return Compiled(
        market, jit(market.init), jit(market.rounds, donate_argnums=0), jit(market.finish)
    )


def collect(
    programs: Compiled,
    key: Key,
    hparams: HParams,
    data: FederatedData,
    *,
    on_chunk: Iterable[OnChunk] = (),
    state: MarketState | None = None,
    pieces: Iterable[Piece] = (),
    ledger: Ledger | None = None,
    roles: Roles | None = None,
) -> MarketOutcome:
    """Runs a market to its end.

    Args:
        programs: from `compiled`.
        key: of the run.
        hparams: from `market.numbers` or `as_arrays`.
        data: of all parties.
        on_chunk: called in order after every `spec.eval_every` rounds.
        state: where to go on, for instance from a checkpoint; by default the market begins.
        pieces: of the rounds before `state`.
        ledger: of an earlier market, see `engine.init`.
        roles: see `engine.init`.

    Returns:
        The outcome on the host; the same whether or not the run was interrupted.

    Raises:
        ValueError: the metric of the test examples is not in [0, 1].
    """
    spec, done = programs.market.spec, list(pieces)
    if state is None:
        state = programs.init(key, hparams, data, ledger, roles)
    callbacks = list(on_chunk)
    for _ in range(len(done), spec.num_rounds // spec.eval_every):
        state, piece = programs.rounds(state, hparams, data)
        done.append(jax.device_get(piece))
        check_unit(programs.market.model.metric, done[-1][1].test_metric)
        chunk = Chunk(state, *done[-1], len(done) * spec.eval_every, spec.num_rounds, tuple(done))
        for callback in callbacks:
            callback(chunk)
    return jax.device_get(programs.finish(state, hparams, data, *joined(done)))


def joined(pieces: Sequence[Piece]) -> Piece:
    """All rounds [R, ...] and all evaluations [R / eval_every] of the pieces of a run."""
    infos, evaluations = zip(*pieces)
    info = jax.tree.map(lambda *parts: np.concatenate(parts), *infos)
    return info, jax.tree.map(lambda *parts: np.stack(parts), *evaluations)
