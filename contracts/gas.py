"""What the actions of the market cost on the EVM: a job is played and every transaction weighed.

`measure_job` plays one market and returns rows; `fit` turns rows of many markets into the table of
`d2m_jax/ledger/gas.py`; `estimate` is what protocol constants alone would say (reference 3.9).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from contracts.market import UNIT, Artifact, Market, address_of
from d2m_jax.ledger import (
    DEFAULT_RULES,
    Finding,
    Kind,
    Layout,
    Reason,
    Ruling,
    commitment_of,
    digest_of,
)


class Size(NamedTuple):
    """How large a market is; what the gas of an action may depend on."""

    num_sellers: int
    num_matched: int  # sellers that the job is matched with
    num_nodes: int
    num_drawn: int  # nodes with an outcome in a round
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
CONTENT = (8, 9)  # of the metric, and its salt
ASKED = 1  # tags of the request; the unmatched sellers have other data


def measure_job(
    artifact: Artifact,
    size: Size,
    *,
    num_rounds: int = 2,
    num_jobs: int = 2,
    num_slots: int = 1,
    sealed: int = 1,
) -> list[Weighed]:
    """Plays whole jobs, one after the other in the same slot, and weighs every transaction.

    From the second job on, storage has been used before: the steady state of a market. Money and
    weights are of ordinary size, so that calldata has an ordinary number of zero bytes.

    Args:
        artifact: the compiled contract.
        size: sellers, nodes, and how many of them a job is about.
        num_rounds: rounds per job.
        num_jobs: jobs in sequence.
        num_slots: slots of the market (opening an auction looks at all).
        sealed: 1: bids are sealed; 0: open.
    """
    layout = Layout(size.num_buyers, size.num_sellers, size.num_nodes, num_slots)
    funds = [2**31 // (4 * layout.num_accounts)] * layout.num_accounts
    funds[: size.num_buyers] = [FUNDS] * size.num_buyers
    rules = {**RULES, "num_rounds": num_rounds, "sealed": sealed}
    world = Market(artifact, layout, rules, funds)
    rows: list[Weighed] = []
    blank: dict[str, Any] = dict.fromkeys(("job", "target", "amount", "tags", "value"), 0)
    length = layout.payload_size

    def do(kind: Kind, actor: int = 0, name: str = "", job: int = 0, **fields: Any) -> None:
        payload = [*fields.pop("payload", ()), *[0] * length][:length]
        vectors = {"payload": payload, "extra": (*fields.pop("extra", ()), 0, 0, 0)[:3]}
        action = {**blank, **fields, **vectors, "kind": kind, "actor": actor}
        reason = world.act(action)
        if reason != Reason.OK:
            raise AssertionError(f"{kind.name}: {reason.name}")
        if kind != Kind.WAIT and world.last:
            rows.append(Weighed(name or kind.name.lower(), job, size, world.last.gas))

    metric = int(digest_of(*CONTENT))
    arbiter, sellers, nodes = layout.treasury, layout.sellers, layout.nodes
    for i, seller in enumerate(range(sellers.start, sellers.stop)):
        tags = ASKED if i < size.num_matched else 2 * ASKED
        terms = {"extra": (500_000, 9_500)}
        do(
            Kind.REGISTER_SELLER,
            seller,
            tags=tags,
            value=600,
            target=2**31 - 1 - i,
            amount=STAKE,
            **terms,
        )
    for node in range(nodes.start, nodes.stop):
        do(Kind.REGISTER_NODE, node, amount=STAKE)

    drawn = size.num_drawn
    wrong = silent = drawn // 8
    outcomes = [2] * wrong + [3] * silent + [1] * (drawn - wrong - silent)
    verdicts = [1] * size.num_matched
    weights = [300 + i for i in range(size.num_matched)]

    def auction(job: int) -> None:
        """The first buyer wins, at what the second bid; both windows pass."""
        bids = [PRICE - 1_000 * i for i in range(size.num_bidders)]
        if not sealed:
            for buyer, amount in enumerate(bids):
                name = "bid (first of a buyer)" if buyer else "bid (opens)"
                said = {"tags": ASKED, "value": 9_000, "extra": (5, metric), "payload": CONTENT}
                do(Kind.BID, buyer, name, job, amount=amount, **said)
            do(Kind.BID, 0, "", job, amount=2 * PRICE, **said)
        for buyer, amount in enumerate(bids[: sealed * len(bids)]):
            said = {"extra": (5, metric, 7), "payload": (amount, 9_000, *CONTENT)}
            opens = commitment_of(
                job=0, buyer=buyer, amount=amount, tau_bps=9_000, model=5, metric=metric, salt=7
            )
            fields = {"tags": ASKED, "amount": 2 * PRICE, "value": int(opens), **said}
            do(Kind.SEAL, buyer, "" if buyer else "seal (opens)", job, **fields)
        do(Kind.WAIT, amount=rules["auction_window"])
        for buyer, amount in enumerate(bids[: sealed * len(bids)]):
            said = {"extra": (5, metric, 7), "payload": CONTENT}
            do(Kind.REVEAL, buyer, "", job, amount=amount, value=9_000, **said)
        do(Kind.WAIT, amount=rules["reveal_window"])
        do(Kind.CLOSE_AUCTION, 2, "" if sealed else "close_auction (open bids)", job)
        said = {"value": CONTENT[0], "extra": CONTENT[1:]}
        do(Kind.OPEN_METRIC, 0, "", job, **said)

    for job in range(num_jobs):
        auction(job)
        for number in range(num_rounds):
            name = "" if number else "settle_round (first)"
            turned = number * (wrong + silent) % drawn  # else the wrong had nothing left to lose
            payload = outcomes[-turned:] + outcomes[:-turned]
            do(Kind.SETTLE_ROUND, arbiter, name, job, payload=payload)
            do(Kind.RATE_SELLERS, arbiter, "", job, payload=verdicts)
        for node in range(nodes.start, nodes.start + drawn):
            do(Kind.TOP_UP, node, "", job, amount=STAKE // 2)  # who was slashed fills up again
        do(Kind.REPORT_METRIC, arbiter, "", job, amount=9_100, value=1_000, payload=weights)
        do(Kind.OPEN_DISPUTE, 0, "", job, target=nodes.start, value=0)
        name = "resolve_dispute (rejected)"
        do(Kind.RESOLVE_DISPUTE, arbiter, name, job, amount=0, payload=[1] * drawn)
        do(Kind.WAIT, amount=2)
        do(Kind.SETTLE, 2, "", job)
        do(Kind.RESET_JOB, 2, "", job)
    # the other ways out, in the steady state
    job = num_jobs
    for ending in ("missed", "reported again", "timed out", "upheld"):
        auction(job)
        for number in range(num_rounds):
            name = "settle_round (all agree)" if number else "settle_round (first, all agree)"
            do(Kind.SETTLE_ROUND, arbiter, name, job, payload=[1] * drawn)
        if ending == "timed out":
            do(Kind.WAIT, amount=rules["timeout"])
            do(Kind.TIME_OUT, 2, "", job)
        elif ending == "upheld":
            do(Kind.REPORT_METRIC, arbiter, "", job, amount=9_100, value=1_000, payload=weights)
            do(Kind.SLASH_SELLER, arbiter, "", job, target=sellers.start)
            do(Kind.OPEN_DISPUTE, 0, "", job, target=nodes.start)
            payload = [Finding.GUILTY] * wrong + [1] * (drawn - wrong)  # who executed again agrees
            do(Kind.RESOLVE_DISPUTE, arbiter, "", job, amount=Ruling.UPHELD, payload=payload)
            for node in range(nodes.start, nodes.start + wrong):
                do(Kind.BAN, arbiter, "ban (lifted)", job, target=node, amount=0)
        else:
            do(Kind.REPORT_METRIC, arbiter, "", job, amount=8_000, value=1_000, payload=weights)
            if ending == "reported again":
                name = "resolve_dispute (report again)"
                again = Ruling.REPORT_AGAIN
                do(Kind.OPEN_DISPUTE, sellers.start, "", job, target=nodes.start)
                payload = [Finding.GUILTY] + [1] * (drawn - 1)
                do(Kind.RESOLVE_DISPUTE, arbiter, name, job, amount=again, payload=payload)
                name = "report_metric (again)"
                do(Kind.REPORT_METRIC, arbiter, name, job, amount=9, value=1, payload=weights)
                do(Kind.BAN, arbiter, "ban (lifted)", job, target=nodes.start, amount=0)
                do(Kind.TOP_UP, nodes.start, "", job, amount=STAKE)
            else:
                do(Kind.TAKE, 0, "", job)
            do(Kind.WAIT, amount=2)
            name = "settle (missed)" if ending == "reported again" else "settle (taken)"
            do(Kind.SETTLE, 2, name, job)
        do(Kind.RESET_JOB, 2, "", job)
        job += 1
    do(Kind.SET_ASK, sellers.start, "", job, amount=400_000, value=9_500)
    last = nodes.stop - 1
    do(Kind.TOP_UP, last, "", job, amount=10)
    do(Kind.REQUEST_WITHDRAWAL, last, "", job, amount=10)
    do(Kind.WAIT, amount=rules["withdrawal_delay"])
    do(Kind.WITHDRAW, last, "", job)
    do(Kind.BAN, arbiter, "", job, target=last, amount=1)
    rows += _edges(world, size, job)
    return rows


def _edges(world: Market, size: Size, job: int) -> Iterable[Weighed]:
    """Ether in and out, admission, and a refusal."""
    buyer = address_of(0)
    world.evm.state.set_balance(buyer, 100 * UNIT)
    yield Weighed("pay_in", job, size, world.call(buyer, "pay_in", value=50 * UNIT).gas)
    yield Weighed("pay_out", job, size, world.call(buyer, "pay_out", 50).gas)
    yield Weighed("refused", job, size, world.call(buyer, "settle", 0).gas)
    outcomes = [1] * size.num_nodes
    refused = world.call(address_of(world.layout.treasury), "settle_round", 0, outcomes)
    yield Weighed("refused round", job, size, refused.gas)


def grid() -> list[Size]:
    """Ten markets, small and larger in each count: enough for a linear form."""
    small = [Size(4, 2, 8, 8), Size(4, 4, 16, 8), Size(4, 2, 32, 16), Size(4, 4, 32, 32)]
    large = [Size(16, 8, 8, 8), Size(16, 16, 16, 16), Size(16, 8, 32, 32), Size(16, 16, 32, 16)]
    crowds = [Size(4, 2, 8, 8, 12, 3), Size(16, 8, 16, 8, 12, 12)]
    return [*small, *(size._replace(num_bidders=3) for size in large), *crowds]


def measure(artifact: Artifact) -> list[Weighed]:
    """Everything that the table of `d2m_jax/ledger/gas.py` needs."""
    rows = [row for size in grid() for row in measure_job(artifact, size)]
    return rows + [r for r in measure_job(artifact, grid()[0], sealed=0) if "bid" in r.action]


def fit(rows: Sequence[Weighed], first_job: int = 1) -> dict[str, tuple[int, ...]]:
    """Least squares of gas on `Size.features`, per action, over jobs from `first_job` on.

    Counts on which an action does not depend get a coefficient near zero (what a transaction gets
    back for cleared storage is capped, so not quite), which is dropped before the next fit: below
    200 gas per seller or node. Only the close and the clearing read the buyers. Registrations
    happen once and count always.

    Returns:
        For each action its coefficients, rounded to whole gas.
    """
    table = {}
    for action in sorted({row.action for row in rows}):
        mine = [row for row in rows if row.action == action]
        mine = [row for row in mine if row.job >= first_job or action.startswith("register")]
        x = np.asarray([row.size.features for row in mine], float)
        y = np.asarray([row.gas for row in mine], float)
        used = np.ones(x.shape[1], bool)
        used[1:] = np.ptp(x[:, 1:], axis=0) > 0
        used[-2:] &= action in ("close_auction", "reset_job")
        for _ in range(3):
            solved = np.zeros(x.shape[1])
            solved[used] = np.linalg.lstsq(x[:, used], y, rcond=None)[0]
            used[1:] &= solved[1:] >= 200
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


# Read off the contract: a seat and three words of a job are read, one or two words written.
ESTIMATES = {
    "bid": estimate(updated=3, read=4, topics=3, log_bytes=96),
    "seal": estimate(new=2, updated=1, read=4, topics=3, log_bytes=64),
    "reveal": estimate(new=2, updated=1, read=4, topics=3, log_bytes=64),
    "settle": estimate(updated=7, read=5, topics=2, log_bytes=128),
    "open_dispute": estimate(new=1, updated=3, read=3, topics=3, log_bytes=32),
    "top_up": estimate(updated=1, read=1, topics=2, log_bytes=32),
    "withdraw": estimate(updated=1, read=1, topics=2, log_bytes=32),
}
# Votes of CONE are not in the contract; had every drawn node to commit and reveal on chain:
COMMIT = estimate(new=1, read=1)
REVEAL = estimate(updated=1, read=1, topics=2, log_bytes=32)
