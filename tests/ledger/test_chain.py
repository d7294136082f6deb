"""One machine: votes and bookings, action by action and in one step, from bid to reset."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.core.money import money_type
from tests.ledger.chains import (
    LAYOUT,
    METRIC,
    NODES,
    ROUNDS,
    SECRET,
    TERMS,
    Batched,
    Folded,
    a_round,
    a_verification,
    digest_of,
    laws_of,
)
from tests.ledger.worlds import same

BOOKINGS = {
    L.Phase.MATCHED: "book_round",
    L.Phase.TRAINING: "book_round",
    L.Phase.VERIFY: "book_verification",
    L.Phase.DISPUTED: "book_dispute",
}


class Both:
    """Two chains that have to stay equal bit for bit."""

    def __init__(self, laws, rng):
        self.one, self.other, self.rng = Folded(laws), Batched(laws), rng
        self.seen = set()

    def __call__(self, name, fields=None, **options):
        """One transition: its fields as an action, if they have other names there."""
        self.one(name.upper(), **(options if fields is None else fields))
        self.other(name, **options)
        assert same(self.one.chain, self.other.chain), name

    def wait(self, blocks):
        self("wait", {"amount": blocks}, blocks=blocks)

    def phase(self, job):
        return L.Phase(self.one.row(job)["phase"])

    def vote(self, contents, job):
        """Most nodes vote for the first content, some for the second, some are silent."""
        rng, before = self.rng, self.one.row(job)
        chances = (0.6, 0.25, 0.15) if rng.random() < 0.8 else (0.3, 0.3, 0.4)
        known = {digest_of(content): content for content in contents}
        digests = rng.choice([*known, 0], size=NODES, p=chances).tolist()
        reveals = (rng.random(NODES) < 0.9).tolist()
        drawn = self.one.vote(digests, reveals, job, rng)
        self.other.vote(digests, reveals, job, drawn)
        assert same(self.one.chain, self.other.chain)
        accepted = int(self.one.unit(job).accepted)
        if accepted and rng.random() < 0.9:
            self.one("OPEN_CONTENT", actor=0, job=job, payload=known[accepted])
            self.other.tell(known[accepted], job)
        elif accepted:
            self.wait(20)
        name = BOOKINGS[before["phase"]]
        self(name, actor=int(rng.integers(LAYOUT.num_accounts)), job=job)
        same_results = self.one.row(job)["results"] == before["results"]
        self.seen.add((name, self.phase(job), same_results))


def register(both):
    for i in range(LAYOUT.num_sellers):
        listing = {"actor": LAYOUT.seller(i), "tags": 7}
        fields = {"value": 10, "target": i, "amount": 2_000, "extra": [0, 10_000]}
        both("register_seller", listing | fields, **listing, size=10, commitment=i, deposit=2_000)
    for i in range(NODES):
        who, stake = {"actor": LAYOUT.node(i)}, 2_000 + 100 * i
        both("register_node", who | {"amount": stake}, **who, stake=stake)


def auction(both, job, tags):
    """Two sealed bids, revealed and closed."""
    bids = ((0, 1_500), (1, 1_100))
    terms = {"tau_bps": 9_000, "model": 6, "metric": SECRET, "salt": 70}
    for buyer, amount in bids:
        promise = L.commitment_of(job=job, buyer=buyer, amount=amount, **terms)
        sealed = {"job": job, "tags": tags}
        fields = {"actor": buyer, "amount": 2_000, "value": promise}
        both("seal", sealed | fields, **sealed, buyer=buyer, deposit=2_000, commitment=promise)
    both.wait(20)
    for buyer, amount in bids:
        request = {"job": job, "amount": amount}
        fields = {"actor": buyer, "value": 9_000, "extra": [6, SECRET, 70]}
        both("reveal", request | fields, **request, buyer=buyer, **terms)
    both.wait(10)
    both("close_auction", actor=3, job=job)


def contents_of(both, job):
    """Two contents between which the nodes choose."""
    rng, row = both.rng, both.one.row(job)
    if row["phase"] == L.Phase.VERIFY or row["disputed_unit"] == ROUNDS:
        worse = a_verification(8_000, model=6 + int(rng.random() < 0.2))
        pair = [a_verification(9_100, harmful=(0, 0, 1)), worse]
    else:
        pair = [a_round(77), a_round(78, metric_bps=9_500 * int(rng.integers(2)))]
    return pair[:: int(rng.choice([1, -1]))]


def run_job(both, job):
    """From the match to the end: rounds, verification, disputes."""
    opening = {"actor": 0, "job": job}
    fields = opening | {"value": METRIC["content"], "extra": [METRIC["salt"]]}
    both("open_metric", fields, **opening, **METRIC)
    for _ in range(9):
        if both.phase(job) == L.Phase.CHALLENGE:
            if both.rng.random() < 0.3:
                break
            unit = int(both.rng.choice(np.flatnonzero(both.one.row(job)["results"])))
            who = {"actor": 1, "job": job}
            both("open_dispute", who | {"value": unit}, **who, unit=unit)
        both.vote(contents_of(both, job), job)
    ends = both.phase(job) == L.Phase.CHALLENGE
    both.wait(10 if ends else 200)
    both("settle" if ends else "time_out", actor=4, job=job)
    both.seen.add(both.phase(job))


@pytest.mark.slow
def test_votes_in_one_step_and_their_bookings_are_the_fold_of_single_actions():
    """Bit for bit, the clock included: job after job in one slot, with all that bookings may do."""
    seen = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rules = {"by_stake": seed % 2, "burn_bps": int(rng.integers(10_001)), "work_bps": 5_000}
        both = Both(laws_of(slash_wrong_bps=4_000, **rules), rng)
        register(both)
        for _ in range(2):
            serial = both.one.row()["serial"]
            auction(both, 0, tags=1)
            if both.phase(0) == L.Phase.MATCHED:  # else too many are banned
                run_job(both, 0)
                assert both.one.row()["serial"] > serial
            both("reset_job", actor=0, job=0)
            assert both.one.row()["serial"] >= serial
        seen |= both.seen
    stages = {(name, same_results) for name, _, same_results in seen - set(L.Phase)}
    assert stages == {(name, kept) for name in BOOKINGS.values() for kept in (True, False)}
    assert {L.Phase.SETTLED, L.Phase.REFUNDED} <= seen
    assert ("book_dispute", L.Phase.DISPUTED, True) in seen  # no result
    assert ("book_dispute", L.Phase.CHALLENGE, True) in seen  # rejected


def begun(**rules):
    """A job that wants its first round."""
    both = Both(laws_of(**rules), np.random.default_rng(0))
    register(both)
    auction(both, 0, tags=1)
    return both.one


def test_votes_are_asked_for_by_the_market_alone():
    """The request names serial and unit; nothing else can be opened, and no request comes back."""
    chain = begun()
    assert [int(x) for x in L.wanted(chain.chain.ledger, chain.laws.rules, 0)] == [1, 0]
    chain("OPEN_UNIT", L.Reason.WRONG_PHASE, actor=0, job=1)
    chain("OPEN_UNIT", L.Reason.UNKNOWN_JOB, actor=0, job=2)
    chain("OPEN_UNIT", actor=0)("OPEN_UNIT", L.Reason.ALREADY_DONE, actor=0)
    chain("BOOK_ROUND", L.Reason.TOO_EARLY, actor=0)
    unit = chain.unit()
    assert (int(unit.serial), int(unit.unit), int(unit.pool)) == (1, 0, NODES)


def test_strangers_and_those_without_a_seat_do_not_vote():
    chain = begun()
    chain("OPEN_UNIT", actor=0)
    chain("DRAW", actor=0, payload=chain.seats(0, None))
    nobody = LAYOUT.num_accounts
    for kind in ("OPEN_UNIT", "DRAW", "COMMIT_VOTE", "REVEAL_VOTE", "TALLY", "OPEN_CONTENT"):
        for actor in (-1, nobody, L.INT_MAX, -(2**31)):
            chain(kind, L.Reason.UNKNOWN_PARTY, actor=actor, value=1)
    for actor in (0, LAYOUT.seller(0), LAYOUT.treasury):
        chain("COMMIT_VOTE", L.Reason.UNKNOWN_PARTY, actor=actor, value=1)
    chain("COMMIT_VOTE", L.Reason.NOT_AUTHORISED, actor=LAYOUT.node(NODES - 1), value=1)


def test_a_kind_that_is_none_changes_nothing():
    chain = begun()
    for kind in (-1, len(L.Kind), L.INT_MAX):
        action = L.make_action(LAYOUT, kind, actor=0, amount=3, payload=[1] * NODES)
        after, receipt = jax.jit(L.apply)(chain.chain, chain.laws, action)
        assert int(receipt) == L.Reason.UNKNOWN_ACTION and same(after, chain.chain)


def test_a_trace_is_its_actions_in_order_and_of_strict_types():
    start, laws = L.new_chain(LAYOUT, buyer_funds=9, seller_funds=9, node_funds=9), laws_of()
    actions = [L.make_action(LAYOUT, kind, actor=3, amount=5) for kind in L.Kind]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *actions)
    with jax.numpy_dtype_promotion("strict"):
        after, receipts = jax.eval_shape(L.run_trace, start, laws, stacked)
    assert receipts.shape == (len(L.Kind),)
    for leaf, old in zip(jax.tree.leaves(after), jax.tree.leaves(start), strict=True):
        assert leaf.dtype == old.dtype and leaf.dtype in (jnp.int32, jnp.bool_, money_type())


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"num_rounds": 1}, "must be for 1 rounds, got 2"),
        ({"content_window": 5}, "content_window must be more than the 5 blocks of a set, got 5"),
        ({"timeout": 35}, "timeout must be more than the 35 blocks of a vote and its content"),
    ],
)
def test_laws_that_do_not_go_together_are_refused(rules, says):
    with pytest.raises(ValueError, match=says):
        L.check_laws(LAYOUT, L.Laws(L.make_rules(**{"num_rounds": ROUNDS, **rules}), TERMS))
    L.check_laws(LAYOUT, L.Laws(L.make_rules(num_rounds=50), TERMS))  # the layout has two rounds
