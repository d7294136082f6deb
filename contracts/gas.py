"""What market and votes cost on the EVM: jobs are played and every transaction weighed.

`measure_job` plays one market and returns rows; `fit` turns rows of many markets into the table of
`d2m_jax/ledger/gas.py`; `estimate` is what protocol constants alone would say (reference 3.9).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from eth_utils import keccak

from contracts.chain import VOTES_CALLS, Codes, EvmChain
from contracts.evm import Sent
from contracts.market import (
    UNIT,
    address_of,
    encode,
    model_of,
    number_of,
    reason_text,
    word_of,
)
from contracts.votes import encode_content, hashed
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.tables import vote_tables
from d2m_jax.ledger import DEFAULT_RULES, Layout
from d2m_jax.ledger.votes_state import Terms, make_terms


class Size(NamedTuple):
    """How large a market is; what the gas of an action may depend on."""

    num_sellers: int
    num_matched: int  # sellers that the job is matched with
    num_nodes: int
    num_drawn: int  # nodes that vote on a unit
    num_buyers: int = 3
    num_bidders: int = 2  # buyers that bid

    @property
    def features(self) -> tuple[int, ...]:
        """One, then the counts, in the order of `FEATURES`."""
        return (1, *self)


class Weighed(NamedTuple):
    """One transaction."""

    action: str  # a kind of the ledger in lower case, or a variant of one
    job: int  # which job of the market, 0 is the first that the slot ever holds
    size: Size
    gas: int


PRICE, STAKE, FUNDS = 1_000_000, 2_000, 10_000_000
RULES = {**DEFAULT_RULES, "min_sellers": 1, "auction_window": 2, "challenge_window": 2}
CONTENT, SALT = word_of(8), word_of(9)
METRIC = number_of(keccak(encode(CONTENT, SALT)))
ASKED = 1  # tags of the request; the unmatched sellers have other data


def one_set(num_nodes: int, seats: int, num_rounds: int) -> Terms:
    """Terms of a vote in which one set of so many seats decides, if most of it agree."""
    params = ConeParams(size=seats, q=seats / num_nodes, f_max=0.3, beta=0.4)
    made = vote_tables(num_nodes, params, schedule="fixed", max_attempts=2)
    return make_terms(made, num_rounds=num_rounds, commit_window=2)


class Played:
    """A market whose transactions are weighed.

    Args:
        codes: the compiled contracts.
        size: of the market.
        rules: of the market.
        num_slots: J.
    """

    def __init__(self, codes: Codes, size: Size, rules: dict[str, int], num_slots: int = 1):
        sizes = size.num_buyers, size.num_sellers, size.num_nodes, num_slots
        layout = Layout(*sizes, rules["num_rounds"] + 1)
        funds = [2**31 // (4 * layout.num_accounts)] * layout.num_accounts
        funds[: size.num_buyers] = [FUNDS] * size.num_buyers
        terms = one_set(size.num_nodes, size.num_drawn, rules["num_rounds"])
        self.chain = EvmChain(codes, layout, rules, terms, funds)
        self.codes, self.size, self.rules, self.layout = codes, size, rules, layout
        self.model = model_of(5, layout.num_sellers)
        self.rows: list[Weighed] = []
        self.job = 0
        self.seen: set[int] = set()  # nodes that were drawn before in the slot
        self.papers: dict[int, list[tuple[int, int]]] = {}  # by unit
        self.told = 0  # bytes of the content that the slot holds

    def weigh(self, sent: Sent, name: str) -> None:
        """Keeps what a transaction has cost, unless it has no name."""
        if not sent.ok:
            raise AssertionError(f"{name}: {reason_text(sent.output)}")
        if name:
            self.rows.append(Weighed(name, self.job, self.size, sent.gas))

    def do(self, name: str, account: int, *values: Any, called: str | None = None) -> None:
        """A transaction to the market by an account; `called` is its name in the rows."""
        sent = self.chain.call(address_of(account), name, *values)
        self.weigh(sent, name if called is None else called)

    def wait(self, blocks: int) -> None:
        """Blocks pass."""
        self.chain.evm.block += blocks

    def register(self) -> None:
        """All sellers and nodes; some sellers have other data than is asked for."""
        sellers, nodes = self.layout.sellers, self.layout.nodes
        for i, seller in enumerate(range(sellers.start, sellers.stop)):
            tags = ASKED if i < self.size.num_matched else 2 * ASKED
            listing = tags, 600, word_of(2**31 - 1 - i), STAKE, 500_000, 9_500
            self.do("register_seller", seller, *listing)
        for node in range(nodes.start, nodes.stop):
            self.do("register_node", node, STAKE)

    def auction(self, slot: int = 0) -> None:
        """The first buyer wins, at what the second bid; all windows pass; the metric is opened."""
        bids = [PRICE - 1_000 * i for i in range(self.size.num_bidders)]
        if self.rules["sealed"]:
            self.sealed(bids, slot)
        else:
            self.ascending(bids, slot)
        open_too = "" if self.rules["sealed"] else "close_auction (open bids)"
        self.do("close_auction", 2, slot, called=open_too or None)
        self.do("open_metric", 0, slot, CONTENT, SALT)

    def sealed(self, bids: Sequence[int], slot: int) -> None:
        """Seals, then reveals."""
        for buyer, amount in enumerate(bids):
            who = number_of(address_of(buyer))
            said = slot, who, amount, 9_000, self.model, METRIC, word_of(7)
            name = None if buyer else "seal (opens)"
            seal = number_of(keccak(encode(*said)))
            self.do("seal", buyer, slot, ASKED, 2 * PRICE, seal, called=name)
        self.wait(self.rules["auction_window"])
        for buyer, amount in enumerate(bids):
            name = None if buyer else "reveal (first)"
            said = amount, 9_000, self.model, METRIC, word_of(7)
            self.do("reveal", buyer, slot, *said, called=name)
        self.wait(self.rules["reveal_window"])

    def ascending(self, bids: Sequence[int], slot: int) -> None:
        """Open bids; the first buyer raises its own."""
        for buyer, amount in enumerate(bids):
            name = "bid (first of a buyer)" if buyer else "bid (opens)"
            self.do("bid", buyer, slot, ASKED, amount, 9_000, self.model, METRIC, called=name)
        self.do("bid", 0, slot, ASKED, 2 * PRICE, 9_000, self.model, METRIC)
        self.wait(self.rules["auction_window"])

    def vote(
        self, content: bytes, odd: Sequence[bytes] = (), silent: int = 0, slot: int = 0
    ) -> None:
        """A unit is voted on in one set: the first nodes reveal other digests, some nothing."""
        votes, anybody = self.chain.votes, address_of(self.layout.treasury)
        first = self.layout.nodes.start

        def do(name: str, sender: bytes, *values: Any, called: str | None = None) -> None:
            self.weigh(votes.call(sender, name, slot, *values), called or name)

        do("open_unit", anybody)
        seats = votes.seats(slot)
        nodes = [node for node, lots in enumerate(seats) if lots]
        is_new = not set(nodes) <= self.seen
        do("draw", anybody, called="draw (new nodes)" if is_new else None)
        said = dict(zip(nodes, [*odd, *[keccak(content)] * len(nodes)]))
        for node in nodes:
            paper = hashed(votes.seed(slot), 1, node, said[node], word_of(node + 1))
            new = "commit_vote (new node)" if node not in self.seen else None
            do("commit_vote", address_of(first + node), paper, called=new)
        self.seen |= set(nodes)
        self.wait(2)
        known: set[bytes] = set()
        for node in nodes[: len(nodes) - silent]:
            new = None if said[node] in known else "reveal_vote (new digest)"
            known.add(said[node])
            salt = word_of(node + 1)
            do("reveal_vote", address_of(first + node), said[node], salt, called=new)
        if silent:
            self.wait(1)
        do("tally", anybody)
        # What is kept of the last unit is written over: a longer content takes new storage.
        grows = len(content) - self.told
        other = f"open_content ({'longer' if grows > 0 else 'shorter'})" if grows else None
        do("open_content", anybody, content, called=other)
        self.told = len(content)

    def book(self, name: str, unit: int, called: str | None = None, slot: int = 0) -> None:
        """Anybody books the unit."""
        told = [(node, number_of(digest)) for node, digest in self.chain.votes.papers_of(slot)]
        lists = [self.papers[unit]] if name == "book_dispute" else []
        self.do(name, self.layout.treasury, slot, *lists, called=called)
        self.papers[unit] = told

    def round_content(self, number: int = 0) -> bytes:
        """Of a round: all matched sellers are accepted."""
        return encode_content(self.round_words(number), False)

    def round_words(self, number: int) -> list[int]:
        """The same for the functional ledger."""
        return [0, 0, 100 + number, 0, 0, *self.verdicts, *[0] * self.size.num_sellers]

    @property
    def verdicts(self) -> list[int]:
        """Of every seller."""
        matched = self.size.num_matched
        return [1] * matched + [0] * (self.size.num_sellers - matched)

    def verification(self, metric: int = 9_100) -> bytes:
        """Of the verification: all matched sellers have a weight."""
        size = self.size.num_sellers
        weights = [300 + i if i < self.size.num_matched else 0 for i in range(size)]
        words = [metric, 1_000, 5, 1, 200, *weights, *[0] * size]
        return encode_content(words, True, {1: METRIC})


def measure_job(
    codes: Codes,
    size: Size,
    *,
    num_rounds: int = 2,
    num_jobs: int = 2,
    num_slots: int = 1,
    sealed: int = 1,
) -> list[Weighed]:
    """Plays whole jobs, one after the other in the same slot, and weighs every transaction.

    From the second job on, storage has been used before: the steady state of a market. Money and
    weights are of ordinary size, so that calldata has an ordinary number of zero bytes. An eighth
    of the drawn nodes is wrong in a round, an eighth is silent. The last job of the slot ends in a
    dispute that overturns a round; before it one that is missed and taken, and one timed out.

    Args:
        codes: the compiled contracts.
        size: sellers, nodes, and how many of them a job is about.
        num_rounds: rounds per job.
        num_jobs: jobs in sequence that are paid.
        num_slots: slots of the market (opening an auction looks at all).
        sealed: 1: bids are sealed; 0: open.
    """
    world = Played(codes, size, {**RULES, "num_rounds": num_rounds, "sealed": sealed}, num_slots)
    world.register()
    few = size.num_drawn // 8
    if not sealed:
        for _ in range(2):
            world.auction()
            _time_out(world)
            world.job += 1
        return world.rows
    for _ in range(num_jobs):
        world.auction()
        _train(world, num_rounds, few)
        world.vote(world.verification())
        world.book("book_verification", num_rounds)
        world.do("open_dispute", 0, 0, 0)
        world.vote(world.round_content(0))
        world.book("book_dispute", 0, "book_dispute (rejected)")
        world.wait(2)
        world.do("settle", 2, 0)
        world.do("reset_job", 2, 0)
        _fill_up(world)
        world.job += 1
    _endings(world, num_rounds, few)
    return world.rows


def _train(world: Played, num_rounds: int, few: int) -> None:
    for number in range(num_rounds):
        odd = [word_of(70 + i).to_bytes(32, "big") for i in range(few)]
        world.vote(world.round_content(number), odd, few)
        world.book("book_round", number, None if number else "book_round (first)")


def _fill_up(world: Played) -> None:
    """Who was slashed has its stake again."""
    nodes = world.layout.nodes
    for node in range(nodes.start, nodes.stop):
        world.do("top_up", node, STAKE)


def _time_out(world: Played) -> None:
    world.wait(world.rules["timeout"])
    world.do("time_out", 2, 0)
    world.do("reset_job", 2, 0, called="")


def _endings(world: Played, num_rounds: int, few: int) -> None:
    """The other ways out, in the steady state."""
    world.auction()
    _train(world, num_rounds, few)
    world.vote(world.verification(8_000))
    world.book("book_verification", num_rounds)
    world.do("take", 0, 0)
    world.wait(2)
    world.do("settle", 2, 0, called="settle (taken)")
    world.do("reset_job", 2, 0)
    _fill_up(world)
    world.job += 1
    world.auction()
    _train(world, num_rounds, few)
    _time_out(world)
    _fill_up(world)
    _edges(world)
    world.job += 1
    world.auction()
    for number in range(num_rounds):  # a captured pool: all agree on what is not so
        world.vote(world.round_content(90 + number))
        world.book("book_round", number, "book_round (all agree)")
    world.vote(world.verification())
    world.book("book_verification", num_rounds)
    world.do("open_dispute", 0, 0, 0)
    world.vote(world.round_content(0))
    world.book("book_dispute", 0)
    world.wait(2)
    world.do("settle", 2, 0, called="settle (spoilt)")


def _edges(world: Played) -> None:
    """What happens outside of jobs: ether in and out, terms, stakes, and a refusal."""
    seller, last = world.layout.sellers.start, world.layout.nodes.stop - 1
    world.do("set_ask", seller, 400_000, 9_500)
    world.do("top_up", last, 10)
    world.do("request_withdrawal", last, 10)
    world.wait(world.rules["withdrawal_delay"])
    world.do("withdraw", last)
    buyer = address_of(0)
    world.chain.evm.state.set_balance(buyer, 100 * UNIT)
    world.weigh(world.chain.call(buyer, "pay_in", value=50 * UNIT), "pay_in")
    world.weigh(world.chain.call(buyer, "pay_out", 50), "pay_out")
    refused = world.chain.call(buyer, "settle", 0).gas
    world.rows.append(Weighed("refused", world.job, world.size, refused))


def grid() -> list[Size]:
    """Nine markets, small and larger in each count: enough for a linear form."""
    small = [Size(4, 2, 12, 8), Size(4, 4, 24, 8), Size(4, 2, 24, 16), Size(4, 4, 32, 16)]
    large = [Size(16, 8, 12, 8), Size(16, 16, 24, 16), Size(16, 8, 32, 16)]
    crowds = [Size(4, 2, 12, 8, 12, 3), Size(16, 8, 24, 8, 12, 12)]
    return [*small, *(size._replace(num_bidders=3) for size in large), *crowds]


def measure(codes: Codes) -> list[Weighed]:
    """Everything that the table of `d2m_jax/ledger/gas.py` needs."""
    rows = [row for size in grid() for row in measure_job(codes, size)]
    return rows + [r for r in measure_job(codes, grid()[0], sealed=0) if "bid" in r.action]


def fit(rows: Sequence[Weighed], first_job: int = 1) -> dict[str, tuple[int, ...]]:
    """Least squares of gas on `Size.features`, per action, over jobs from `first_job` on.

    Counts on which an action does not depend get a coefficient near zero (what a transaction gets
    back for cleared storage is capped, so not quite), which is dropped before the next fit: below
    60 gas per seller or node. Only the close and the clearing read the buyers, the votes know no
    sellers. Registrations happen once and count always.

    Returns:
        For each action its coefficients, rounded to whole gas.
    """
    table = {}
    for action in sorted({row.action for row in rows}):
        mine = [row for row in rows if row.action == action]
        once = action.startswith("register") or "new node" in action
        mine = [row for row in mine if row.job >= first_job or once]
        if not mine:
            continue
        x = np.asarray([row.size.features for row in mine], float)
        y = np.asarray([row.gas for row in mine], float)
        used = np.ones(x.shape[1], bool)
        used[1:] = np.ptp(x[:, 1:], axis=0) > 0
        used[-2:] &= action in ("close_auction", "reset_job")
        used[1:3] &= action.split(" ")[0] not in VOTES_CALLS.values()
        for _ in range(3):
            solved = np.zeros(x.shape[1])
            solved[used] = np.linalg.lstsq(x[:, used], y, rcond=None)[0]
            used[1:] &= solved[1:] >= 60
        table[action] = tuple(int(round(value)) for value in solved)
    return table


# Constants of the protocol (reference 3.9) and what an action needs of them.
TX, NEW_SLOT, UPDATE, READ = 21_000, 22_100, 5_000, 2_100
LOG, TOPIC, LOG_BYTE = 375, 375, 8


def estimate(
    *, new: int = 0, updated: int = 0, read: int = 0, topics: int = 0, log_bytes: int = 0
) -> int:
    """Gas by counting slots and one log: 21000 + 22100 new + 5000 updated + 2100 read + log.

    Calldata and the work in between are left out, as in the reference.
    """
    log = LOG + TOPIC * topics + LOG_BYTE * log_bytes if topics else 0
    return TX + NEW_SLOT * new + UPDATE * updated + READ * read + log


# Read off the contract: a seat and the word of a job are read, one or two words written. What is
# in the second piece of code costs the call of it, 2600.
ESTIMATES = {
    "bid": estimate(updated=3, read=4, topics=3, log_bytes=96),
    "seal": estimate(new=2, updated=1, read=3, topics=3, log_bytes=64),
    "top_up": estimate(updated=1, read=1, topics=2, log_bytes=32),
    "withdraw": estimate(updated=1, read=1, topics=2, log_bytes=32),
    "commit_vote": estimate(updated=2, read=4, topics=3),
}
