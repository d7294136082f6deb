"""A tiny real market, driven chunk by chunk as `collect` drives it."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from d2m_jax import as_arrays
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.report.checkpoint import Saved
from tests.worlds import SPEC, digits, market, numbers

POPULATION = {"num_byzantine": 2, "num_colluding": 3}


class Chunk(NamedTuple):
    state: Any
    rounds: Any
    evaluation: Any
    done: int
    total: int
    pieces: list[Any]


def config(seed=0, **changes):
    return Config(DataSpec(), SPEC, numbers(population=POPULATION, **changes), seed)


@functools.cache
def programs(spec=SPEC):
    made = market(spec)
    return tuple(map(jax.jit, (made.init, made.rounds, made.finish)))


def likes(config):
    """Trees like a state and like a piece, as `restore` wants them."""
    init, rounds, _ = programs(config.spec)
    _, data = digits()
    hparams = as_arrays(config.hparams)
    state = jax.eval_shape(init, jax.random.key(config.seed), hparams, data)
    return state, jax.eval_shape(rounds, state, hparams, data)[1]


def drive(config, on_chunk=(), saved: Saved | None = None, stop_at=None):
    """The outcome on the host, or None if it was stopped after so many rounds."""
    init, rounds, finish = programs(config.spec)
    _, data = digits()
    spec, hparams = config.spec, as_arrays(config.hparams)
    if saved:
        state, pieces = saved.state, list(saved.pieces)
    else:
        state, pieces = init(jax.random.key(config.seed), hparams, data), []
    while len(pieces) < spec.num_rounds // spec.eval_every:
        state, piece = rounds(state, hparams, data)
        pieces.append(jax.device_get(piece))
        done = len(pieces) * spec.eval_every
        for look in on_chunk:
            look(Chunk(state, *pieces[-1], done, spec.num_rounds, pieces))
        if done == stop_at:
            return None
    infos, evaluations = zip(*pieces)
    info = jax.tree.map(lambda *parts: np.concatenate(parts), *infos)
    evaluations = jax.tree.map(lambda *parts: np.stack(parts), *evaluations)
    return jax.device_get(finish(state, hparams, data, info, evaluations))


@functools.cache
def outcome():
    return drive(config())


def bits(tree):
    """All leaves as (type, shape, bytes)."""
    plain = [
        jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for x in jax.tree.leaves(tree)
    ]
    return [(str(x.dtype), x.shape, np.asarray(x).tobytes()) for x in plain]
