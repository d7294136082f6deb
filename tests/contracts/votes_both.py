"""Votes on both machines side by side, and beside the slow model: they must agree in everything."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from contracts.compiler import compile_text
from contracts.votes import (
    JOB_SEED,
    VotesChain,
    compile_votes,
    drawn_by_chance,
    drawn_lots,
    seed_of,
    stirred,
    word_of,
)
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes import outcomes
from d2m_jax.ledger.votes_machine import Clocked, VoteKind, apply_vote
from d2m_jax.ledger.votes_state import Stage, new_votes
from tests.ledger.vote_traces import (
    FIELDS,
    JOBS,
    LENGTH,
    NODES,
    ROUNDS,
    SELLERS,
    SETS,
    terms_of,
    vote_batch,
)
from tests.ledger.votes_model import Election, VotesModel

STUB = pathlib.Path(__file__).with_name("VotesMarket.vy")
START = Clocked(jnp.int32(0), new_votes(JOBS, NODES, SELLERS))
EASY = Election(
    num_nodes=NODES,
    num_sellers=SELLERS,
    num_jobs=JOBS,
    num_rounds=ROUNDS,
    rule="lead",
    schedule="exponential",
    by_stake=False,
    max_sets=SETS,
    base=2,
    size=2,
    q=0.5,
    f_max=0.33,
    beta=0.11,
    commit_window=2,
    reveal_window=2,
)

apply = jax.jit(apply_vote)
ended = jax.jit(jax.vmap(outcomes))


@functools.cache
def compiled():
    """The contract and the stand-in for the market."""
    return compile_votes(), compile_text(STUB.read_text())


def new_chain(how, artifact=None):
    """A contract of an election, created by a transaction."""
    votes, stub = compiled()
    size = {"num_jobs": how.num_jobs, "num_nodes": how.num_nodes, "num_sellers": how.num_sellers}
    return VotesChain(artifact or votes, stub, terms_of(how), **size)


@functools.cache
def shared_chain():
    """One deployed contract that is started over."""
    return new_chain(EASY)


class HashingModel(VotesModel):
    """The slow model beside the seeds of a contract, derived on their own, and the chance of it.

    Args:
        election: how.
        chain: whose driver learns what the numbers stand for.
    """

    def __init__(self, election, chain):
        super().__init__(election)
        self.chain = chain
        self.seeds, self.mixed = [b""] * election.num_jobs, [bytes(32)] * election.num_jobs

    def promise_of(self, job, node, digest, salt):
        u, number = self.slots[job], super().promise_of(job, node, digest, salt)
        if u.serial:
            self.chain.learn_promise(number, job, len(u.sets), node, digest, salt)
        return number

    def hash(self, words):
        number = super().hash(words)
        if len(words) == LENGTH:
            self.chain.learn_content(number, words)
        return number

    def act(self, kind, node, job, amount, value, salt, payload):
        reason = super().act(kind, node, job, amount, value, salt, payload)
        if reason == Reason.OK and kind == VoteKind.OPEN_UNIT:
            salts = self.mixed[job] if value else bytes(32)  # the first unit has those of the job
            where = self.chain.address, job, amount, JOB_SEED, salts
            self.seeds[job] = seed_of(*where)
        if reason == Reason.OK and kind == VoteKind.REVEAL_VOTE:
            self.mixed[job] = stirred(self.mixed[job], node, word_of(salt))
        return reason

    def seats(self, job, u):
        """Who chance seats next."""
        urn = [u.urn.get(node, 0) for node in range(self.how.num_nodes)]
        if self.how.schedule == "independent":
            return drawn_by_chance(self.seeds[job], len(u.sets) + 1, urn)
        return drawn_lots(self.seeds[job], len(u.sets) + 1, urn, max(self.next_size(u), 0))

    def fair(self, row):
        """The action with the seats of chance, if it is a draw that can be done."""
        action = dict(zip(FIELDS, row, strict=True))
        job = action["job"]
        if action["kind"] == VoteKind.DRAW and 0 <= job < len(self.slots):
            u = self.slots[job]
            if u.stage == Stage.OPEN:
                action["payload"] = [*self.seats(job, u), *[0] * LENGTH][:LENGTH]
        return tuple(action[name] for name in FIELDS)


def disagreement(evm, other):
    """The first field in which the contract differs from a state by name, as text, or None."""
    for name, got in evm.items():
        want = np.asarray(other[name])
        if name == "commitments":  # the contract forgets what was opened
            want = np.where(np.asarray(other["digests"]) != 0, 0, want)
        if not np.array_equal(np.asarray(got), want):
            return f"{name}: {np.asarray(got).tolist()} on the EVM, not {want.tolist()}"
    return None


class AllThree:
    """Contract, functional votes and slow model from the same start.

    Args:
        how: the election.
        chain: a contract to start over with.
    """

    def __init__(self, how=EASY, chain=None):
        self.how, self.terms = how, terms_of(how)
        self.chain = chain or shared_chain()
        self.chain.start_over(self.terms)
        self.model = HashingModel(how, self.chain)
        self.state = START

    def do(self, row):
        """One action by all; receipts and states must be the same."""
        row = self.model.fair(row)
        from_model = self.model.act(*row)
        from_evm = self.chain.act(dict(zip(FIELDS, row, strict=True)))
        action = jax.tree.map(lambda x: x[0, 0], vote_batch([[row]]))
        self.state, reason = apply(self.state, self.terms, action)
        from_jax = Reason(int(reason))
        assert from_evm == from_jax == from_model, (row, from_evm, from_jax, from_model)
        evm, votes = self.chain.state(), vars(jax.device_get(self.state.votes))
        assert disagreement(evm, self.model.everything()) is None
        assert disagreement(evm, votes) is None
        for job, u in enumerate(self.model.slots):
            assert self.chain.mixed(job) == self.model.mixed[job]
            assert u.serial == 0 or self.chain.seed(job) == self.model.seeds[job]
        return from_jax

    def __call__(self, kind, expect=Reason.OK, **fields):
        """An action by name of its kind; fails unless the receipt is the expected one."""
        action = {**dict.fromkeys(FIELDS, 0), **fields, "kind": VoteKind[kind]}
        payload = [*fields.get("payload", ()), *[0] * LENGTH][:LENGTH]
        reason = self.do(tuple({**action, "payload": payload}[name] for name in FIELDS))
        assert reason == expect, f"{kind}: {reason.name}, not {Reason(expect).name}"
        return self
