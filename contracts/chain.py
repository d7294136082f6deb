"""Market and votes on one chain, driven by the actions of the functional `ledger.Chain`.

Three contracts: the market with its two pieces of code, and the votes, whose address the market has
known since before they were created. Read first: `market.py`, `votes.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from contracts import reading
from contracts.compiler import Artifact
from contracts.evm import Sent
from contracts.market import (
    MARKET,
    VOTES,
    Code,
    Market,
    Paper,
    address_of,
    compile_market,
    hash_papers,
    metric_of,
    number_of,
)
from contracts.votes import VotesContract, compile_votes, word_of
from d2m_jax.ledger import Kind, Layout, Phase, Reason
from d2m_jax.ledger.votes_state import Terms

VOTES_CALLS = {
    Kind.OPEN_UNIT: "open_unit",
    Kind.DRAW: "draw",
    Kind.COMMIT_VOTE: "commit_vote",
    Kind.REVEAL_VOTE: "reveal_vote",
    Kind.TALLY: "tally",
    Kind.OPEN_CONTENT: "open_content",
}
BOOKINGS = (Kind.BOOK_ROUND, Kind.BOOK_VERIFICATION, Kind.BOOK_DISPUTE)


class Codes(NamedTuple):
    """All that is deployed."""

    market: Code
    votes: Artifact


def compile_all() -> Codes:
    """Compiles the contracts."""
    return Codes(compile_market(), compile_votes())


class EvmChain(Market):
    """A deployed market with its votes.

    Args:
        codes: the compiled contracts.
        layout: how many of each role.
        rules: numbers, by the names of `DEFAULT_RULES`.
        terms: functional terms of the votes.
        funds: units of each account.
    """

    def __init__(
        self,
        codes: Codes,
        layout: Layout,
        rules: Mapping[str, int],
        terms: Terms,
        funds: Sequence[int],
    ):
        super().__init__(codes.market, layout, rules, funds)
        sizes = {name: getattr(layout, name) for name in ("num_jobs", "num_nodes", "num_sellers")}
        self.votes = VotesContract(codes.votes, self.evm, **sizes)
        self.deploy(VOTES, self.votes.creation(number_of(MARKET), terms))

    def begin(self, rules: Mapping[str, int], terms: Terms, funds: Sequence[int]) -> None:
        """As if created anew."""
        self.start_over(rules, funds)
        self.votes.start_over(terms)

    def send(self, action: Mapping[str, Any]) -> Sent:
        """The transaction that an action stands for, to the market or to the votes."""
        kind, job = int(action["kind"]), int(action["job"])
        if kind in (Kind.BID, Kind.REVEAL):
            digest = int(action["extra"][1])
            self.votes.metrics[digest] = metric_of(digest, action["payload"])
        if kind in VOTES_CALLS:
            return self.votes.call(*self.vote(Kind(kind), job, action))
        is_booking = kind in BOOKINGS and self.job_word(job) > 0
        unit, new = self.unit_of(job), self.votes.papers_of(job) if is_booking else []
        sent = super().send(action)
        if sent.ok and is_booking:
            self.remember(job, unit, new)
        return sent

    def vote(self, kind: Kind, job: int, action: Mapping[str, Any]) -> tuple[Any, ...]:
        """Sender, function and arguments of an action of the votes."""
        votes, value = self.votes, int(action["value"])
        values: tuple[Any, ...] = ()
        if kind == Kind.COMMIT_VOTE:
            values = (votes.promises.get(value, word_of(value)),)
        if kind == Kind.REVEAL_VOTE:
            values = (votes.digest(job, value), word_of(int(action["extra"][0])))
        if kind == Kind.OPEN_CONTENT:
            values = (votes.content(job, action["payload"][: 2 * self.layout.num_sellers + 4]),)
        return address_of(int(action["actor"])), VOTES_CALLS[kind], job, *values

    def act(self, action: Mapping[str, Any]) -> Reason:
        """As `ledger.apply`, which knows no strangers: the votes let them open, draw and count."""
        is_account = 0 <= int(action["actor"]) < self.layout.num_accounts
        if action["kind"] in VOTES_CALLS and not is_account:
            self.last = None
            return Reason.UNKNOWN_PARTY
        return super().act(action)

    def unit_of(self, job: int) -> int:
        """The unit that a slot trains, verifies or disputes."""
        row = reading.lanes_of(self.job_word(job), reading.JOB)
        if row["disputed_unit"] >= 0:
            return row["disputed_unit"]
        return row["round"] if row["phase"] < Phase.VERIFY else reading.num_rounds(self)

    def remember(self, job: int, unit: int, new: list[Paper]) -> None:
        """Keeps the list of a unit that has just been booked, unless the contract did not."""
        slot = self.artifact.slots["papers"] + reading.MAX_UNITS * job + unit
        kept = self.evm.state.get_storage(MARKET, slot).to_bytes(32, "big")
        if hash_papers(new) == kept:
            self.papers[job, unit] = new

    def state(self) -> dict[str, np.ndarray]:
        """Ledger and votes by name; the fields of the votes as `votes.<name>`."""
        ledger = reading.state(self, self.votes.number)
        votes = {f"votes.{name}": np.asarray(x) for name, x in self.votes.state().items()}
        return ledger | votes
