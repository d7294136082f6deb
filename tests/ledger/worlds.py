"""Small worlds that several ledger tests start from, and decisions made by hand."""

from typing import ClassVar

import jax
import numpy as np

from d2m_jax import ledger as L
from d2m_jax.ledger.contents import round_content, verification_content
from d2m_jax.ledger.decisions import Decision

LAYOUT = L.Layout(num_buyers=3, num_sellers=4, num_nodes=5, num_jobs=2, num_units=3)
GOOD, BAD = 11, 22  # digests that nodes reveal
METRIC = {"content": 4, "salt": 5}  # what the buyers of these worlds open


def open_rules(**changed):
    """The rules of these worlds, open ascending bids and two rounds, with some numbers changed."""
    return L.make_rules(**{"sealed": 0, "num_rounds": 2, **changed})


RULES = open_rules()
ANYBODY = 0  # who books, closes and settles


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

    def book(self, name, decision=None, expect=L.Reason.OK, job=0, **told):
        """Anybody books a decision, or what `decided` makes of the rest."""
        decision = decision or decided(self, job=job, **told)
        return self(name, expect, actor=ANYBODY, job=job, decision=decision)

    def round(self, papers=None, **told):
        return self.book("book_round", papers=papers, **told)

    def verification(self, papers=None, **told):
        return self.book("book_verification", papers=papers, **told)

    def dispute(self, unit, papers=None, actor=2, **told):
        """Opens a dispute of the unit; with papers, books what is found again."""
        self("open_dispute", actor=actor, job=0, unit=unit)
        return self if papers is None else self.book("book_dispute", papers=papers, **told)

    def end(self, job=0):
        """Waits for the challenge window and settles."""
        window = int(self.rules.challenge_window)
        return self("wait", blocks=window)("settle", actor=ANYBODY, job=job)

    def row(self, job=0):
        """The job as plain integers and lists."""
        return {name: np.asarray(x[job]).tolist() for name, x in vars(self.ledger.jobs).items()}

    @property
    def balances(self):
        return np.asarray(self.ledger.balances).tolist()

    @property
    def stakes(self):
        return np.asarray(self.ledger.stakes).tolist()

    @property
    def banned(self):
        """The accounts that are."""
        return np.asarray(self.ledger.banned).nonzero()[0].tolist()


def decided(
    world,
    papers=None,
    accepted=GOOD,
    *,
    job=0,
    drawn=None,
    content=None,
    is_over=True,
    is_open=True,
    serial=None,
    since=None,
    **told,
):
    """A decision on what the job asks for now.

    Args:
        world: the ledger is read, not moved.
        papers: [C] what each node reveals, 0 nothing, None it is not drawn; by default all GOOD.
        accepted: digest that wins, 0 none.
        job: slot.
        drawn: [C] bool, who had a seat; by default who has an entry in the papers.
        content: [L], else one is made of `told` (`content_of`).
        is_over, is_open, serial, since: of the decision; by default those of a vote that is over.
    """
    row = world.row(job)
    papers = [GOOD] * world.layout.num_nodes if papers is None else list(papers)
    content = content_of(world, job, **told) if content is None else content
    seats = [paper is not None for paper in papers] if drawn is None else drawn
    asked = int(L.wanted(world.ledger, world.rules, job)[0])
    since = int(world.ledger.block) if since is None else since
    return Decision(
        serial=np.int32(asked or row["serial"] if serial is None else serial),
        is_over=np.bool_(is_over),
        accepted=np.int32(accepted),
        is_open=np.bool_(is_open and accepted != 0),
        since=np.int32(since),
        drawn=np.asarray(seats, bool),
        papers=np.asarray([paper or 0 for paper in papers], np.int32),
        content=np.asarray(content, np.int32),
    )


def content_of(world, job=0, metric=0, base=0, sellers=None, harm=None, model=None, asked=None):
    """What a digest stands for: of a round by default, of the verification with weights.

    Args:
        world: whose job it is.
        job: slot.
        metric, base: basis points.
        sellers: [N] verdicts or weights.
        harm: [N] for a verification; None for a round.
        model, asked: digests of a verification, by default what the buyer asked for.
    """
    row, number = world.row(job), world.layout.num_sellers
    sellers = np.zeros(number, np.int32) if sellers is None else np.asarray(sellers, np.int32)
    rounds = min(int(world.rules.num_rounds), world.layout.num_units - 1)
    unit = int(L.wanted(world.ledger, world.rules, job)[1])
    if unit not in (rounds, 2 * rounds + 1):
        return round_content(np.int32(7), sellers, np.int32(metric))
    asked = row["metric"] if asked is None else asked
    model = row["model"] if model is None else model
    harm = np.zeros(number, bool) if harm is None else np.asarray(harm, bool)
    words = (np.int32(word) for word in (metric, base, model, asked))
    return verification_content(*words, sellers, harm)


def same(one, other):
    """Whether two pytrees are equal bit for bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def by_name(chain):
    """The fields of a chain in one dictionary, those of jobs and votes as `jobs.<name>`."""
    jobs = {f"jobs.{name}": x for name, x in vars(chain.ledger.jobs).items()}
    return {**vars(chain.ledger), **jobs, **{f"votes.{k}": x for k, x in vars(chain.votes).items()}}


def registered(**options):
    """All sellers with tags 0b111 and all nodes, each with 1000 at stake."""
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
    return world("wait", blocks=20)("close_auction", actor=3, job=0)


def trained(**options):
    """Both rounds booked, the examples opened; one node cheated, one was silent."""
    world = matched(**options)
    world.round([GOOD, GOOD, BAD, 0, None])
    world.round([GOOD, GOOD, None, None, GOOD])
    return world("open_metric", actor=2, job=0, **METRIC)


WEIGHTS = (3, 1, 0, 5)


def challenged(metric=9_100, harm=None, **options):
    """Verified by nodes 0, 1 and 4: the metric reached tau, the weights are 3 : 1 : 0 : 5."""
    told = {"metric": metric, "sellers": WEIGHTS, "harm": harm}
    return trained(**options).verification([GOOD, GOOD, None, None, GOOD], **told)
