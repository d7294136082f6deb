"""Small worlds that several ledger tests start from."""

from typing import ClassVar

import jax
import numpy as np

from d2m_jax import ledger as L

LAYOUT = L.Layout(num_buyers=3, num_sellers=4, num_nodes=5, num_jobs=2)


def open_rules(**changed):
    """The rules of these worlds, open ascending bids and two rounds, with some numbers changed."""
    return L.make_rules(**{"sealed": 0, "num_rounds": 2, **changed})


RULES = open_rules()
ARBITER = LAYOUT.treasury


class World:
    """A ledger that moves one checked action at a time; compiled transitions are kept."""

    compiled: ClassVar[dict] = {}

    def __init__(self, rules=RULES, layout=LAYOUT, **funds):
        funds = {"buyer_funds": 10_000, "seller_funds": 2_000, "node_funds": 3_000, **funds}
        self.layout, self.rules = layout, rules
        self.ledger = L.new_ledger(layout, **funds)

    def __call__(self, name, expect=L.Reason.OK, **options):
        """Runs one transition by name, checks its receipt and every invariant."""
        step = self.compiled.setdefault(name, jax.jit(L.TRANSITIONS[name]))
        after, reason = step(self.ledger, self.rules, **options)
        assert L.Reason(int(reason)) == expect, L.describe(int(reason))
        L.assert_valid(after, self.ledger)
        if expect != L.Reason.OK:
            assert same(after, self.ledger)
        self.ledger = after
        return self

    def row(self, job=0):
        """The job as plain integers and lists."""
        return {name: np.asarray(x[job]).tolist() for name, x in vars(self.ledger.jobs).items()}

    @property
    def balances(self):
        return np.asarray(self.ledger.balances).tolist()

    @property
    def stakes(self):
        return np.asarray(self.ledger.stakes).tolist()


def same(one, other):
    """Whether two pytrees are equal bit for bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


METRIC = {"content": 4, "salt": 5}  # what the buyers of these worlds open


def registered(**options):
    """Four sellers with tags 0b111 and five nodes, each with 1000 at stake."""
    world = World(**options)
    for i in range(world.layout.num_sellers):
        actor = world.layout.seller(i)
        world("register_seller", actor=actor, tags=7, size=10, commitment=i, deposit=1_000)
    for i in range(world.layout.num_nodes):
        world("register_node", actor=world.layout.node(i), stake=1_000)
    return world


def matched(**options):
    """Buyers bid 500, 900 and 1001 for tags 0b011; the job is matched."""
    world = registered(**options)
    for buyer, amount in ((0, 500), (1, 900), (2, 1_001)):
        digest = L.digest_of(**METRIC)
        world("bid", buyer=buyer, job=0, tags=3, amount=amount, tau_bps=9_000, metric=digest)
    world("wait", blocks=20)("close_auction", actor=3, job=0)
    return world


def trained(**options):
    """Both rounds settled, the examples opened; one node cheated, one was silent."""
    world = matched(**options)
    for outcomes in ([1, 1, 2, 3, 0], [1, 1, 0, 0, 1]):
        world("settle_round", actor=ARBITER, job=0, outcomes=np.array(outcomes))
    return world("open_metric", actor=2, job=0, **METRIC)


def challenged(**options):
    """The metric reached tau; the sellers' weights are 3 : 1 : 0 : 5."""
    weights = np.array([3, 1, 0, 5])
    return trained(**options)(
        "report_metric", actor=ARBITER, job=0, metric_bps=9_100, weights=weights
    )
