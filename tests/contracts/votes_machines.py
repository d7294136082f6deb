"""The same random votes through the contract on the EVM and through the functional votes."""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os

import jax
import numpy as np

from contracts.votes import VotesChain
from d2m_jax.ledger.votes_machine import apply_vote
from tests.contracts.votes_both import START, HashingModel, compiled, disagreement
from tests.ledger.traces import seeded_draw
from tests.ledger.vote_traces import FIELDS, Player, random_election, terms_of, vote_batch

NUM_TRACES, NUM_STEPS = 300, 40  # and 2,000 in the slow test


@functools.cache
def played():
    """NUM_TRACES traces."""
    return play_all(NUM_TRACES)


def play_all(num_traces):
    """Rows, elections, receipts of both and states of both after every action."""
    traces = play_in_processes(num_traces)
    rows, hows, receipts, states = zip(*(trace[:4] for trace in traces))
    reasons, votes = play_votes(rows, hows)
    return {
        **{"rows": rows, "hows": hows, "receipts": np.asarray(receipts), "states": states},
        **{"reasons": reasons, "votes": votes, "refused_at": [trace[4] for trace in traces]},
    }


def play_contract(artifacts, seeds):
    """Random traces on the EVM: per seed the actions, election, receipts, states, refusals."""
    votes, stub = artifacts
    chain, games = None, []
    for seed in seeds:
        draw = seeded_draw(seed)
        how = random_election(draw)
        chain = chain or first_chain(votes, stub, how)
        chain.start_over(terms_of(how))
        model = HashingModel(how, chain)
        player = Player(draw, model, model.seats)
        rows, receipts, states, refused_at = [], [], [], set()
        for _ in range(NUM_STEPS):
            row = model.fair(player.action())
            model.act(*row)
            reason = chain.act(dict(zip(FIELDS, row, strict=True)))
            rows.append(row)
            receipts.append(int(reason))
            states.append(states[-1] if states and reason else chain.state())
            if reason and row[0] and chain.last:
                refused_at.add((chain.last.pc, reason.name))
        assert disagreement(states[-1], model.everything()) is None, (seed, how)
        games.append((rows, how, receipts, states, refused_at))
    return games


def first_chain(votes, stub, how):
    """A contract to start over with."""
    size = {"num_jobs": how.num_jobs, "num_nodes": how.num_nodes, "num_sellers": how.num_sellers}
    lawful = dataclasses.replace(how, commit_window=2)  # it is started over with others
    return VotesChain(votes, stub, terms_of(lawful), **size)


def play_in_processes(num_traces):
    """`play_contract` on all cores, in order of the seeds."""
    seeds = [[int(seed) for seed in part] for part in np.array_split(np.arange(num_traces), 16)]
    spawn = multiprocessing.get_context("spawn")  # a fork after JAX has started may hang
    with concurrent.futures.ProcessPoolExecutor(min(os.cpu_count() or 1, 8), spawn) as pool:
        parts = pool.map(play_contract, [compiled()] * len(seeds), seeds)
        return [trace for part in parts for trace in part]


def run(terms, actions):
    """Every receipt and the votes after every action."""

    def step(before, action):
        after, reason = apply_vote(before, terms, action)
        return after, (reason, after.votes)

    return jax.lax.scan(step, START, actions)[1]


def play_votes(rows, hows):
    """The functional votes on traces of `play_contract`: receipts [T, S], state by name."""
    terms = jax.tree.map(lambda *x: np.stack(x), *(terms_of(how) for how in hows))
    reasons, votes = jax.device_get(jax.jit(jax.vmap(run))(terms, vote_batch(rows)))
    return np.asarray(reasons), vars(votes)
