"""When captured units fall, nobody honest has less than in the same draw without the attack.

Some rounds, or the verification, are captured: colluders are most of the set and have another
digest accepted. Every captured unit is disputed in turn, in any order. With M the money of a unit,
k captured units and B the bond, the guilty pay for all of it if what they lose in the first fall is
at least k (2 M + B) + seller pool: M to those who were right, M to those who execute again, B to
the disputer, the seller pool to the sellers.

Two things are not made whole, and are left out here: the share that a node would have had of what
silent nodes lose, and odd units, of which the buyer may lack fewer than C for each captured unit.
"""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import BAD, GOOD, METRIC, World, open_rules, registered

LAYOUT = L.Layout(num_buyers=3, num_sellers=4, num_nodes=9, num_jobs=2, num_units=4)
BUYER, DISPUTER, ROUNDS = 0, 1, 3
SELLERS, NODES = LAYOUT.sellers, LAYOUT.nodes
WEIGHTS = (3, 1, 0, 5)
FEW, TRIED = 12, 90


@pytest.fixture(scope="module")
def market():
    """Everybody is registered."""
    return registered(layout=LAYOUT).ledger


def begun(market, rules):
    """A job at the price of the reserve, nodes pledged."""
    world = World(rules=rules, layout=LAYOUT)
    world.ledger = market
    metric = L.digest_of(**METRIC)
    world("bid", buyer=BUYER, job=0, tags=3, amount=9_999, tau_bps=9_000, metric=metric)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    return world("open_metric", actor=BUYER, job=0, **METRIC)


def wealth(world):
    return np.asarray(L.wealth(world.ledger))


class Capture:
    """Two worlds in which the same sets are drawn; in one of them colluders take some units.

    Who was outvoted may have no pledge left and is not drawn again; in the other world it is not
    either. Colluders lie again, in vain, when a unit is executed again.
    """

    def __init__(self, market, seed):
        self.rng = rng = np.random.default_rng(seed)
        rules = open_rules(
            num_rounds=ROUNDS,
            burn_bps=int(rng.integers(10_001)),
            reserve=int(rng.choice([rng.integers(300, 2_000), rng.integers(2_000, 9_999)])),
            slash_wrong_bps=int(rng.choice([1_000, 5_000, 10_000])),
        )
        self.metric = int(rng.choice([8_000, 9_500]))
        self.colludes = rng.permutation(9) < rng.integers(4, 8)
        self.attacked, self.spared = begun(market, rules), begun(market, rules)
        self.out, self.guilty = np.zeros(9, bool), np.zeros(9, bool)
        self.taken = [unit for unit in range(ROUNDS + 1) if self.unit(unit)]

    def unit(self, unit):
        """Books a round, or the verification; whether it was captured."""
        drawn = (self.rng.random(9) < 0.7) & ~self.out
        taken = drawn[self.colludes].sum() > drawn[~self.colludes].sum()
        taken &= self.rng.random() < 0.6
        lies = self.colludes & taken
        said = [int(BAD if liar else GOOD) if d else None for liar, d in zip(lies, drawn)]
        name = "book_round" if unit < ROUNDS else "book_verification"
        truth = {"metric": self.metric, "sellers": WEIGHTS} if unit == ROUNDS else {}
        lie = {**truth, "metric": 17_500 - self.metric} if truth else {}
        accepted, told = (BAD, lie) if taken else (GOOD, truth)
        self.attacked.book(name, papers=said, accepted=accepted, **told)
        self.spared.book(name, papers=[GOOD if d else None for d in drawn], **truth)
        if taken:
            self.out |= drawn & ~self.colludes
            self.guilty |= drawn & self.colludes
        return bool(taken)

    @property
    def counts(self):
        """Somebody lied, and somebody who can say so has a pledge left."""
        able = np.asarray(L.electorate(self.attacked.ledger, 0)) > 0
        return bool(self.taken) and bool((able & ~self.colludes).any())

    def judged(self):
        """Every captured unit is disputed and falls; `falls` tells of each what was left."""
        before, self.falls, self.due = self.attacked.row(), [], self.needed()
        for unit in self.rng.permutation(self.taken).tolist():
            may = np.asarray(L.electorate(self.attacked.ledger, 0)) > 0
            said = [None if not m else BAD if liar else GOOD for m, liar in zip(may, self.colludes)]
            cash = self.attacked.balances[DISPUTER]
            told = {"metric": self.metric, "sellers": WEIGHTS} if unit == ROUNDS else {}
            self.attacked.dispute(unit, said, actor=DISPUTER, **told)
            row = self.attacked.row()
            self.falls.append((self.attacked.balances[DISPUTER] - cash, row["forfeited"]))
            self.first = self.first if self.falls[1:] else row["compensation"]
        self.pool = before["seller_pool"]
        for world in (self.attacked, self.spared):
            world.end()
        return self

    def needed(self):
        """k (2 M + B) + seller pool."""
        row, rules = self.attacked.row(), self.attacked.rules
        compute = row["price"] - row["seller_pool"] - row["fee_pool"]
        bond = max(1, row["price"] * int(rules.bond_bps) // 10_000)
        self.bond = bond
        return len(self.taken) * (2 * (compute // (ROUNDS + 1)) + bond) + row["seller_pool"]

    @property
    def is_covered(self):
        """Whether the pledges lost in the first fall pay for all."""
        return self.first >= self.due

    @property
    def gain(self):
        """[A] units that everybody has more than without the attack."""
        return wealth(self.attacked) - wealth(self.spared)


@pytest.fixture(scope="module", params=[FEW, pytest.param(TRIED, marks=pytest.mark.slow)])
def captures(market, request):
    """All that count, of those tried."""
    tried = [Capture(market, seed) for seed in range(request.param)]
    return [capture.judged() for capture in tried if capture.counts]


def test_nobody_honest_has_less_where_the_pledges_of_the_guilty_cover_it(captures):
    """Node, seller, disputer, treasury, buyer: the liars pay."""
    for capture in (c for c in captures if c.is_covered):
        gain = capture.gain
        assert (gain[NODES][~capture.colludes] >= 0).all()
        assert (gain[SELLERS] >= 0).all()
        assert gain[DISPUTER] == capture.bond * len(capture.taken)
        assert gain[BUYER] > -9 * len(capture.taken)
        assert (gain[NODES][capture.guilty] < 0).all()


def test_who_was_outvoted_is_whole_as_soon_as_its_own_unit_is_covered(captures):
    """Its pledge always; its reward where the disputer, who comes after it, has its prize."""
    for capture in captures:
        stakes = np.asarray(capture.attacked.ledger.stakes)[NODES]
        assert (stakes[~capture.colludes] == 1_000).all()
        if all(prize == capture.bond for prize, _ in capture.falls):
            assert (capture.gain[NODES][~capture.colludes] >= 0).all()


def test_what_is_short_is_shared_in_the_order_of_the_rules(captures):
    """A prize that is short leaves nothing; sellers that are short leave the buyer its price."""
    for capture in captures:
        for prize, left in capture.falls:
            assert prize == capture.bond or left == 0
        row = capture.attacked.row()
        if not row["spoilt"]:
            continue
        left = capture.falls[-1][1]
        assert row["seller_paid"] == min(left, capture.pool) and row["fee_paid"] == 0
        if left <= capture.pool:
            assert row["compensation"] >= capture.first  # nothing of the forfeited is burned
            assert row["refunded"] >= capture.pool


def test_the_guilty_are_banned_and_nobody_else(captures):
    for capture in captures:
        banned = np.asarray(capture.attacked.ledger.banned)[NODES]
        assert (banned == capture.guilty).all()
        assert not np.asarray(capture.spared.ledger.banned).any()


def test_enough_captures_are_tried(captures):
    """Several units at once, the verification alone and with a round, covered or short."""
    if len(captures) <= FEW:
        assert len(captures) > 2 and any(capture.is_covered for capture in captures)
        return
    assert len(captures) >= 25
    assert sum(len(c.taken) > 1 for c in captures) >= 5
    assert sum(c.taken == [ROUNDS] for c in captures) >= 2
    assert sum(ROUNDS in c.taken and len(c.taken) > 1 for c in captures) >= 2
    assert sum(c.out.any() for c in captures) >= 10
    assert min(sum(c.is_covered for c in captures), sum(not c.is_covered for c in captures)) >= 5
    assert any(prize < c.bond for c in captures for prize, _ in c.falls)


def test_who_is_outvoted_by_a_dispute_that_fails_stays_slashed(market):
    """Captured twice: the pool repeats the lie, and who was right loses what was held."""
    world = begun(market, open_rules(num_rounds=ROUNDS, reserve=900))
    papers = [BAD, BAD, BAD, GOOD, *[None] * 5]
    for _ in range(ROUNDS):
        world.round(papers, accepted=BAD)
    world.verification([BAD] * 3 + [None] * 6, accepted=BAD, metric=9_500)
    world.dispute(0, [BAD] * 3 + [None] * 6, accepted=BAD, actor=DISPUTER)
    assert world.row()["held"][3] == 1_000
    world.end()
    assert np.asarray(world.ledger.stakes)[NODES][3] == 0
