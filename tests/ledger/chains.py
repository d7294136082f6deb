"""Whole jobs on a chain, twice: action by action, and with each vote held in one step."""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import ledger as L
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.tables import vote_tables
from d2m_jax.ledger.contents import commitment_of, round_content, verification_content
from d2m_jax.ledger.mixing import mix_all
from d2m_jax.ledger.votes import get_unit, next_size, open_content
from d2m_jax.ledger.votes_batch import Ballots, settle_votes
from d2m_jax.ledger.votes_state import Stage, make_terms

LAYOUT = L.Layout(num_buyers=2, num_sellers=3, num_nodes=7, num_jobs=2, num_units=3)
ROUNDS, NODES, METRIC = 2, 7, {"content": 4, "salt": 5}
SECRET = L.digest_of(**METRIC)
FUNDS = {"buyer_funds": 9_000, "seller_funds": 2_500, "node_funds": 3_000}
TERMS = make_terms(
    vote_tables(NODES, ConeParams(base=3, beta=0.2), max_attempts=4),
    num_rounds=ROUNDS,
    commit_window=2,
    reveal_window=3,
)


def laws_of(**rules):
    """Laws of two rounds; one seller is enough."""
    rules = {"num_rounds": ROUNDS, "min_sellers": 1, "reserve": 100, **rules}
    laws = L.Laws(L.make_rules(**rules), TERMS)
    L.check_laws(LAYOUT, laws)
    return laws


def digest_of(content):
    """What nodes vote for that agree with a content."""
    return int(_mix(content))


def a_round(model=77, verdicts=(1, 2, 0), metric_bps=0):
    """Content of a round."""
    return round_content(model, jnp.array(verdicts), metric_bps)


def a_verification(metric_bps=9_100, weights=(3, 1, 5), harmful=(0, 0, 0), model=6):
    """Content of a verification of what the buyers here ask for."""
    return verification_content(
        metric_bps, 1_000, model, SECRET, jnp.array(weights), jnp.array(harmful)
    )


class Folded:
    """A chain that moves one action at a time, each accepted and each checked."""

    def __init__(self, laws):
        self.laws, self.chain = laws, L.new_chain(LAYOUT, **FUNDS)

    def __call__(self, kind, expect=L.Reason.OK, **fields):
        action = L.make_action(LAYOUT, L.Kind[kind], **fields)
        after, reason = _apply(self.chain, self.laws, action)
        assert L.Reason(int(reason)) == expect, (kind, fields, L.describe(int(reason)))
        L.assert_valid(after.ledger, self.chain.ledger)
        self.chain = after
        return self

    def unit(self, job=0):
        """The unit of a slot."""
        return _get_unit(self.chain.votes, jnp.int32(job))

    def row(self, job=0):
        """The job as plain integers and lists."""
        jobs = vars(self.chain.ledger.jobs).items()
        return {name: np.asarray(x[job]).tolist() for name, x in jobs}

    def vote(self, digests, reveals=(True,) * NODES, job=0, rng=None):
        """A whole unit; chance is the dice, or the first nodes of the urn. Returns the seats."""
        self("OPEN_UNIT", actor=0, job=job)
        drawn = []
        while self.unit(job).stage == Stage.OPEN:
            drawn.append(self.seats(job, rng))
            self("DRAW", actor=1, job=job, payload=drawn[-1])
            self.ballot(digests, reveals, job)
        return drawn

    def seats(self, job, rng):
        urn = np.flatnonzero(np.asarray(self.unit(job).urn))
        order = urn if rng is None else rng.permutation(urn)
        chosen = order[: int(next_size(self.unit(job), TERMS))]
        return np.isin(np.arange(NODES), chosen).astype(int).tolist()

    def ballot(self, digests, reveals, job):
        """All of a set commit, those that reveal do, and it is counted."""
        row = self.unit(job)
        new = np.flatnonzero(np.asarray(row.first_set) == int(row.attempt)).tolist()
        told = [node for node in new if reveals[node] and digests[node]]
        for node in new:
            words = jnp.array([job, node, digests[node], 50 + node], jnp.int32)
            self.by(node, "COMMIT_VOTE", job, value=_promise(row, *words))
        if new:
            self("WAIT", amount=TERMS.commit_window)
        for node in reversed(told):
            self.by(node, "REVEAL_VOTE", job, value=digests[node], extra=[50 + node])
        if len(told) < len(new):
            self("WAIT", amount=TERMS.reveal_window)
        self("TALLY", actor=0, job=job)

    def by(self, node, kind, job, **fields):
        self(kind, actor=LAYOUT.node(node), job=job, **fields)


class Batched:
    """The same chain moved by transitions called by name, each vote in one step."""

    def __init__(self, laws):
        self.laws, self.chain = laws, L.new_chain(LAYOUT, **FUNDS)

    def __call__(self, name, **options):
        if name.startswith("book"):
            options["decision"] = L.decision_of(self.chain.votes, options["job"])
        ledger, reason = _move(name)(self.chain.ledger, self.laws.rules, **options)
        assert L.Reason(int(reason)) == L.Reason.OK, (name, L.describe(int(reason)))
        self.chain = self.chain.replace(ledger=ledger)
        return self

    def vote(self, digests, reveals, job, drawn):
        never = [[9] * NODES] * (TERMS.ends.shape[1] - len(drawn))  # no draw: nobody looks at it
        ballots = Ballots(
            seats=jnp.array([*drawn, *never], jnp.int32),
            digests=jnp.array(digests, jnp.int32),
            salts=jnp.arange(50, 50 + NODES, dtype=jnp.int32),
            reveals=jnp.array(reveals, bool),
        )
        self.chain, reason = _settle(self.chain, self.laws, job, ballots)
        assert reason == L.Reason.OK

    def tell(self, content, job):
        votes, reason = _tell(self.chain.votes, TERMS, job=job, content=content)
        assert reason == L.Reason.OK
        self.chain = self.chain.replace(votes=votes)


def _vote_in_one_step(chain, laws, job, ballots):
    """What a market does that holds the whole vote that slot `job` asks for."""
    ledger, votes = chain.ledger, chain.votes
    serial, unit = L.wanted(ledger, laws.rules, job)
    asked = {"job": job, "serial": serial, "unit": unit, "stakes": L.electorate(ledger, job)}
    votes, block, reason = settle_votes(
        votes, laws.terms, block=ledger.block, **asked, ballots=ballots
    )
    return L.Chain(ledger.replace(block=block), votes), reason


_apply, _settle, _tell = jax.jit(L.apply), jax.jit(_vote_in_one_step), jax.jit(open_content)
_promise, _get_unit, _mix = jax.jit(commitment_of), jax.jit(get_unit), jax.jit(mix_all)
_moves = {}


def _move(name):
    return _moves.setdefault(name, jax.jit(L.TRANSITIONS[name]))
