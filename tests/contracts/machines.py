"""The same traces through the contracts on the EVM and through functional ledger and votes."""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
from typing import NamedTuple

import jax
import numpy as np

from contracts.chain import compile_all
from contracts.reading import comparable
from d2m_jax import ledger as L
from d2m_jax.ledger.votes_state import Stage
from tests.contracts.puppet_court import TrialChain, puppet_court
from tests.ledger import worlds
from tests.ledger.traces import (
    FIELDS,
    LAYOUT,
    batch,
    genesis,
    laws_of,
    random_action,
    random_world,
    seeded_draw,
)
from tests.ledger.vote_traces import terms_of
from tests.ledger.votes_model import VotesModel

NUM_TRACES, NUM_STEPS = 64, 160  # and 2,000 in the slow test
CONTENT_SIZE = 2 * LAYOUT.num_sellers + 5
NOT_STORED = {"block", "num_nodes", "jobs", "votes.content", "votes.points"}
NOT_IN_MODEL = {"supply"}


class Knowledge(NamedTuple):
    """What the numbers of a trace stand for on the EVM."""

    contents: dict
    promises: dict
    numbers: dict


class Trace(NamedTuple):
    """A random trace as the contracts have played it."""

    seed: int
    rows: list
    receipts: list
    states: dict  # by name: [S, ...], after every action
    refused_at: set  # (address of the code, where it would have returned, where it stopped, reason)
    known: Knowledge


@functools.cache
def artifacts():
    """The compiled contracts."""
    return compile_all()


class ToldVotes(VotesModel):
    """The slow model of the votes, which tells the contracts what its numbers stand for.

    Args:
        election: how.
        votes: the driver of the contract.
    """

    def __init__(self, election, votes):
        super().__init__(election)
        self.votes = votes

    def hash(self, words):
        number = super().hash(words)
        if len(words) == CONTENT_SIZE:
            self.votes.learn_content(number, words)
        return number

    def promise_of(self, job, node, digest, salt):
        number = super().promise_of(job, node, digest, salt)
        sets = len(self.slots[job].sets)
        self.votes.learn_promise(number, job, sets, node, digest, salt)
        return number


def new_chain(codes=None, seed=0):
    """Contracts to start over with."""
    model, funds = random_world(seeded_draw(seed))
    how = model.votes.how
    chain = TrialChain(codes or artifacts(), LAYOUT, *lawful(model), funds, puppet_court())
    chain.begin(rules_of(model), terms_of(how), funds)
    return chain


def lawful(model):
    """Rules and terms near those of a world, with which the contracts can be created."""
    terms = terms_of(dataclasses.replace(model.votes.how, commit_window=2))
    windows = {"timeout": 1_000, "withdrawal_delay": 1_000, "content_window": 10}
    return {**rules_of(model), **windows}, terms


def rules_of(model):
    """The rules with the rounds that the layout has room for."""
    return {**model.rules, "num_rounds": model.rounds}


def begin(chain, seed):
    """The dice and the model of a seed, and the contracts started over in its world."""
    draw = seeded_draw(seed)
    model, funds = random_world(draw)
    chain.begin(rules_of(model), terms_of(model.votes.how), funds)
    model.votes = ToldVotes(model.votes.how, chain.votes)
    return draw, model, funds


def as_dict(row):
    """A tuple of the generator as a dictionary by field."""
    return dict(zip(FIELDS, row, strict=True))


def next_row(draw, model, chain):
    """The next random action; a draw that can be done has the seats of the contract's chance."""
    row = random_action(draw, model, chain.votes.seats)
    action, slots = as_dict(row), model.votes.slots
    is_there = 0 <= action["job"] < len(slots)
    if action["kind"] == L.Kind.DRAW and is_there and slots[action["job"]].stage == Stage.OPEN:
        seats = chain.votes.seats(action["job"])
        action["payload"] = [*seats, *[0] * LAYOUT.payload_size][: LAYOUT.payload_size]
    return tuple(action[name] for name in FIELDS)


def play_seed(chain, seed, num_steps=NUM_STEPS):
    """One random trace on the EVM, after every action as in the slow model."""
    draw, model, _ = begin(chain, seed)
    rows, receipts, states, refused_at = [], [], [], set()
    for step in range(num_steps):
        row = next_row(draw, model, chain)
        expected = model.act(*row)
        chain.last = None
        reason = chain.act(as_dict(row))
        assert reason == expected, (seed, step, as_dict(row), reason.name, expected.name)
        rows.append(row)
        receipts.append(int(reason))
        if reason and chain.last:
            sent = chain.last
            refused_at.add((sent.code_of, sent.back, sent.pc, reason.name))
        if states and reason:  # a revert undoes all: read again only what may have changed
            states.append(states[-1])
        else:
            states.append(chain.state())
            differs = disagreement(states[-1], comparable(without_blocks(model.everything())))
            assert differs is None, (seed, step, as_dict(row), differs)
    stacked = {name: np.stack([state[name] for state in states]) for name in states[0]}
    votes = chain.votes
    known = Knowledge(dict(votes.contents), dict(votes.promises), dict(votes.numbers))
    return Trace(seed, rows, receipts, stacked, refused_at, known)


def without_blocks(fields):
    """A state of the slow model without what the contracts do not store in this form."""
    return {name: x for name, x in fields.items() if name not in NOT_STORED}


def play_contracts(codes, seeds, num_steps=NUM_STEPS):
    """Random traces on the EVM."""
    chain = new_chain(codes)
    return [play_seed(chain, seed, num_steps) for seed in seeds]


def in_processes(play, num_traces, num_steps=NUM_STEPS):
    """`play` on all cores, in order of the seeds."""
    seeds = np.array_split(np.arange(num_traces), max(num_traces // 8, 1))
    seeds = [part.tolist() for part in seeds]
    spawn = multiprocessing.get_context("spawn")  # a fork after JAX has started may hang
    with concurrent.futures.ProcessPoolExecutor(min(os.cpu_count() or 1, 8), spawn) as pool:
        rest = [artifacts()] * len(seeds), seeds, [num_steps] * len(seeds)
        return [trace for part in pool.map(play, *rest) for trace in part]


@functools.cache
def played():
    """NUM_TRACES traces: `traces` from the EVM, `reasons` and `states` from the ledger."""
    traces = in_processes(play_contracts, NUM_TRACES)
    reasons, states = play_functional(traces)
    return {"traces": traces, "reasons": reasons, "states": states}


def run(chain, laws, actions):
    """Every receipt and the whole chain after every action."""

    def step(before, action):
        after, reason = L.apply(before, laws, action)
        return after, (reason, after)

    return jax.lax.scan(step, chain, actions)[1]


run_many = jax.jit(jax.vmap(run))


def functional_worlds(traces):
    """What the functional chain needs to play the traces."""
    models, funds = zip(*(random_world(seeded_draw(trace.seed)) for trace in traces))
    chains = jax.jit(jax.vmap(genesis))(np.asarray(funds, np.int32))
    return chains, laws_of(models), batch([trace.rows for trace in traces])


def play_functional(traces):
    """Receipts [T, S] and states by name [T, S, ...] of the functional chain."""
    reasons, states = jax.device_get(run_many(*functional_worlds(traces)))
    return np.asarray(reasons), by_name(states)


def by_name(chain):
    """The fields of a functional chain, as `EvmChain.state` gives them."""
    fields = comparable(worlds.by_name(chain))
    return {name: x for name, x in fields.items() if name not in NOT_STORED}


def disagreement(evm, other):
    """The first field in which two states differ, as text, or None.

    Args:
        evm: arrays by name, from `EvmChain.state`.
        other: by name, of the functional chain or the slow model.
    """
    for name, got in evm.items():
        if name in NOT_IN_MODEL and name not in other:
            continue
        want = np.asarray(other[name])
        if name == "votes.commitments":  # the contract forgets what was opened
            want = np.where(np.asarray(other["votes.digests"]) != 0, 0, want)
        if name == "supply":
            want = np.broadcast_to(want, got.shape)
        if not np.array_equal(got, want):
            where = tuple(int(i) for i in np.argwhere(np.asarray(got) != want)[0])
            return f"{name}{list(where)}: {got[where]} on the EVM, not {want[where]}"
    return None
