"""The programs of one run: traced first, then compiled side by side while the caller goes on.

    traced = trace(market, key, hparams, data)     # finds what only a trace can
    outcome = collect(start(traced), key, hparams, data)

`collect.compiled` compiles at the first call, with all of XLA's optimisation: for programs that are
kept. Here a program is compiled for as long as it repays.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from d2m_jax.config.hparams import HParams
from d2m_jax.core.backend import QUICKEST, compile_with
from d2m_jax.core.choices import digest, functions_of
from d2m_jax.core.exported import Shelf, kept, shelf_of
from d2m_jax.core.types import Key
from d2m_jax.data import Dataset, FederatedData
from d2m_jax.market.choices import parts_of
from d2m_jax.market.collect import Compiled
from d2m_jax.market.engine import Market, finish
from d2m_jax.market.state import MarketOutcome
from d2m_jax.tasks import problem_of

# Rounds compiled quickly take 2.6 ms more each on two cores, and a compilation three seconds less.
SHORT_WORK = 5e7  # numbers in the steps of all updates of a run
ROUND_WORK = 5e4  # what a round takes beside its updates, in such numbers


class Traced(NamedTuple):
    """The programs of a run before they are compiled."""

    market: Market
    init: jax.stages.Traced
    rounds: jax.stages.Traced
    finish: jax.stages.Traced
    quiet: bool  # static: `finish` hears no disputes, and says whether there is one

    @property
    def state(self) -> Any:
        """Shapes of a `MarketState`."""
        return self.init.out_info

    @property
    def piece(self) -> Any:
        """Shapes of what the rounds up to one evaluation give, a `Piece`."""
        return self.rounds.out_info[1]


def trace(
    market: Market, key: Key, hparams: HParams, data: FederatedData, shelf: Shelf | None = None
) -> Traced:
    """Traces the programs of a run, or finds them on a shelf; nothing is compiled yet.

    Args:
        market: its parts.
        key: of the run.
        hparams: from `market.numbers` or `as_arrays`.
        data: of all parties.
        shelf: of what the market was made of, where its programs are kept; None: they are not.

    Raises:
        ValueError: whatever the rooms refuse while they are traced.
    """
    spec = market.spec

    def traced(name: str, fn: Callable[..., Any], *args: Any, **how: Any) -> jax.stages.Traced:
        return jax.jit(kept(shelf, name, fn, *args), **how).trace(*args)

    init = traced("init", market.init, key, hparams, data, None, None)
    state = init.out_info
    rounds = traced("rounds", market.rounds, state, hparams, data, donate_argnums=0)
    num_chunks = spec.num_rounds // spec.eval_every
    info, evaluation = rounds.out_info[1]
    whole = (
        jax.tree.map(lambda x: _like(x, num_chunks * x.shape[0], *x.shape[1:]), info),
        jax.tree.map(lambda x: _like(x, num_chunks, *x.shape), evaluation),
    )

    quiet = isinstance(spec.dispute, str)  # of an own way nobody knows when it has nothing to hear
    ending = partial(finish, market.parts, hears=not quiet)
    last = traced("finish", ending, state, hparams, data, *whole)
    return Traced(market, init, rounds, last, quiet)


def shelf_for(market: Market, dataset: Dataset) -> Shelf | None:
    """Where the programs of a market on a data set are kept; None where they are not.

    A named model follows from the `Problem` of the data set; a `Task` of the user's own does not.
    What a name stands for is part of the origin, for registries can be added to; code of the
    user's own under a name has no shelf, as without one.
    """
    spec = market.spec
    if not isinstance(spec.model, str) or market.parts.mesh is not None:
        return None
    parts = parts_of(spec)
    if not all(is_of_package(fn) for part in parts for fn in functions_of(part)):
        return None
    origin = tuple(getattr(spec, field.name) for field in dataclasses.fields(spec))
    return shelf_of(origin, tuple(map(digest, parts)), problem_of(dataset))


def is_of_package(fn: Callable[..., Any]) -> bool:
    """Whether a function, apart from what is bound to it, is code of this package."""
    while isinstance(fn, partial):
        fn = fn.func
    return str(getattr(fn, "__module__", "")).split(".")[0] == "d2m_jax"


def _like(leaf: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, leaf.dtype)


def start(traced: Traced) -> Compiled:
    """Begins to compile, on threads; each program waits for itself at its first call.

    Disputes are rare and half of what `finish` is: they are compiled when there is one.
    """
    options = QUICKEST if is_short(traced.market) else None
    pool = concurrent.futures.ThreadPoolExecutor(3)

    def begin(program: jax.stages.Traced, options: dict[str, Any] | None) -> Callable[..., Any]:
        return pool.submit(compile_with, program.lower(), options).result

    rounds = begin(traced.rounds, options)  # the longest first
    init = begin(traced.init, QUICKEST)
    ending = begin(traced.finish, QUICKEST)
    pool.shutdown(wait=False)

    def conclude(*args: Any) -> MarketOutcome:
        outcome: MarketOutcome = ending()(*args)
        if traced.quiet and np.asarray(outcome.closing.disputed).any():
            outcome = compile_with(jax.jit(traced.market.finish).lower(*args), QUICKEST)(*args)
        return outcome

    return Compiled(
        traced.market,
        init=lambda *args: init()(*args),
        rounds=lambda *args: rounds()(*args),
        finish=conclude,
    )


def is_short(market: Market) -> bool:
    """Whether the rounds of a run end before their optimisation would have repaid itself."""
    spec = market.spec
    updates = spec.num_sampled * spec.local_steps * market.model.num_params
    work = spec.num_rounds * spec.num_jobs * (updates + ROUND_WORK)
    return work <= SHORT_WORK
