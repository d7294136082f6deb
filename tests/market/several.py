"""A small world of three jobs that several tests share: one program, many numbers."""

import functools

import jax

from d2m_jax import Spec
from d2m_jax.config.hparams import Requests
from tests.worlds import digits, market, numbers

JOBS = 3
SPEC = Spec(
    model="logreg",
    num_jobs=JOBS,
    num_sellers=8,
    num_sampled=4,
    num_rounds=6,
    eval_every=3,
    batch_size=16,
    attack="sign_flip",
    num_buyers=6,
    num_nodes=40,
)
BUYERS = {"buyer_values": (900_000, 880_000, 860_000, 600_000, 580_000, 560_000)}
LAYOUT = market(SPEC).layout


def numbers_of_jobs(*, population=None, money=None, requests=None, tau=0.3, **others):
    """Numbers of that world; each seller's data serves two of the jobs, its money both."""
    asked = {"tags": (1, 2, 4), "tau": (tau,) * 3, "wants": (0, 1, 2, 0, 1, 2), **(requests or {})}
    stakes = {"seller_stake": 140_000, "node_stake": 60_000}
    money = {**BUYERS, "buyer_shading_bps": (10_000,) * 6, **stakes, **(money or {})}
    population = {"breadth": 2, **(population or {})}
    return numbers(money=money, population=population, requests=Requests(**asked), **others)


@functools.cache
def program(spec=SPEC):
    """`run` as one jitted program."""
    return jax.jit(market(spec).run)


def play_jobs(hparams=None, seed=0, **kwargs):
    """Runs it; the outcome of all jobs, on the host."""
    hparams = market(SPEC).numbers(hparams or numbers_of_jobs())
    return jax.device_get(program()(jax.random.key(seed), hparams, digits()[1], **kwargs))
