"""The same traces through the contract on the EVM and through the functional ledger."""

import concurrent.futures
import functools
import multiprocessing
import os

import jax
import jax.numpy as jnp
import numpy as np

from contracts.market import HASHED, Market, compile_market
from d2m_jax import ledger as L
from tests.ledger.traces import (
    FIELDS,
    LAYOUT,
    batch,
    genesis,
    random_action,
    random_world,
    seeded_draw,
    typed,
)

NUM_TRACES, NUM_STEPS = 2_000, 40


@functools.cache
def artifact():
    """The compiled contract."""
    return compile_market()


@functools.cache
def played():
    """NUM_TRACES traces: `traces` from the EVM, `reasons` and `states` from the ledger."""
    traces = play_in_processes(artifact(), NUM_TRACES)
    reasons, states = play_ledger(traces)
    return {"traces": traces, "reasons": reasons, "states": states}


def legal_world(draw):
    """A random world whose rules the contract accepts (a stake cannot outrun its judgement)."""
    model, funds = random_world(draw)
    model.rules["withdrawal_delay"] = max(model.rules["withdrawal_delay"], model.rules["timeout"])
    return model, funds


def as_dict(row):
    """A tuple of the generator as a dictionary by field."""
    return dict(zip(FIELDS, row, strict=True))


def play_contract(compiled, seeds):
    """Random traces on the EVM: per seed the actions, terms, funds, receipts, words, refusals."""
    played = []
    market = Market(compiled, LAYOUT, L.DEFAULT_RULES, [0] * LAYOUT.num_accounts)
    for seed in seeds:
        draw = seeded_draw(seed)
        model, funds = legal_world(draw)
        market.start_over(model.rules, funds)
        rows, reasons, words, refused_at = [], [], [], set()
        for _ in range(NUM_STEPS):
            row = random_action(draw, model)
            model.act(*row)  # the slow model only steers the generator
            reason = market.act(as_dict(row))
            rows.append(row)
            reasons.append(int(reason))
            # A revert undoes all: read again only what may have changed.
            words.append(words[-1] if words and reason else market.words())
            if reason and row[0] != L.Kind.WAIT:
                refused_at.add((market.last.back, reason.name))
        played.append((rows, model.rules, funds, reasons, np.stack(words), refused_at))
    return played


def play_in_processes(compiled, num_traces):
    """`play_contract` on all cores, in order of the seeds."""
    chunks = np.array_split(np.arange(num_traces), 16)
    seeds = [[int(seed) for seed in chunk] for chunk in chunks if len(chunk)]
    spawn = multiprocessing.get_context("spawn")  # a fork after JAX has started may hang
    with concurrent.futures.ProcessPoolExecutor(min(os.cpu_count() or 1, 8), spawn) as pool:
        parts = pool.map(play_contract, [compiled] * len(seeds), seeds)
        return [trace for part in parts for trace in part]


def run(ledger, rules, actions):
    """Every receipt and the whole ledger after every action."""

    def step(before, action):
        after, reason = L.apply(before, rules, action)
        return after, (reason, after)

    return jax.lax.scan(step, ledger, actions)[1]


def play_ledger(traces):
    """The functional ledger on traces of `play_contract`: receipts [T, S], state by name."""
    rows, rules, funds = zip(*(trace[:3] for trace in traces))
    ledgers = jax.jit(jax.vmap(genesis))(jnp.asarray(np.asarray(funds, np.int32)))
    reasons, states = jax.jit(jax.vmap(run))(ledgers, typed(rules), batch(rows))
    return np.asarray(reasons), by_name(jax.device_get(states))


def by_name(ledger):
    """The fields of a ledger in one dictionary, those of the jobs as `jobs.<name>`."""
    jobs = {f"jobs.{name}": x for name, x in vars(ledger.jobs).items()}
    return comparable({**vars(ledger), **jobs})


def comparable(fields):
    """The fields by name, as the contract's `state` gives them."""
    return {**fields, **{name: np.asarray(fields[name]) != 0 for name in HASHED}}


def disagreement(contract, ledger):
    """The first field in which two states differ, as text, or None.

    Args:
        contract: arrays by name, from `contracts.market.state`.
        ledger: arrays by name, from `by_name`.
    """
    for name, got in contract.items():
        if not np.array_equal(got, ledger[name]):
            where = tuple(int(i) for i in np.argwhere(got != ledger[name])[0])
            return f"{name}{list(where)}: {got[where]} on the EVM, {ledger[name][where]} in JAX"
    return None
