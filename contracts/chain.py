"""Market, votes and court on one chain, driven by the actions of the functional `ledger.Chain`.

The market with its two pieces of code, the votes, whose address the market has known since before
they were created, and the court where it decides disputes. Read first: `market.py`, `votes.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from contracts import reading
from contracts.compiler import Artifact
from contracts.court import compile_court, court_start
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
from contracts.work import HEAD, claim_of, plan_of
from d2m_jax.court.game import Terms as CourtTerms
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
    court: Artifact


def compile_all() -> Codes:
    """Compiles the contracts."""
    return Codes(compile_market(), compile_votes(), compile_court())


class EvmChain(Market):
    """A deployed market with its votes.

    Args:
        codes: the compiled contracts.
        layout: how many of each role.
        rules: numbers, by the names of `DEFAULT_RULES`.
        terms: functional terms of the votes.
        funds: units of each account.
        court: terms of the court, or the code that creates whatever is to answer in its place.
    """

    def __init__(
        self,
        codes: Codes,
        layout: Layout,
        rules: Mapping[str, int],
        terms: Terms,
        funds: Sequence[int],
        court: CourtTerms | bytes | None = None,
    ):
        if not isinstance(court, bytes):
            court = codes.court.code + court_start(court or CourtTerms())
        super().__init__(codes.market, layout, rules, funds, court)
        sizes = {name: getattr(layout, name) for name in ("num_jobs", "num_nodes", "num_sellers")}
        self.votes = VotesContract(codes.votes, self.evm, **sizes)
        self.deploy(VOTES, self.votes.creation(number_of(MARKET), terms))
        self.models: dict[tuple[int, int], int] = {}  # of a slot and a buyer
        self.voted: dict[tuple[int, int], list[int]] = {}  # contents that the court has overturned

    def begin(self, rules: Mapping[str, int], terms: Terms, funds: Sequence[int]) -> None:
        """As if created anew."""
        self.start_over(rules, funds)
        self.votes.start_over(terms)
        self.models, self.voted = {}, {}

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
        was = self.content_in(job, unit) if kind == Kind.BOOK_CASE and self.job_word(job) else []
        sent = super().send(action)
        if not sent.ok:
            return sent
        if kind in (Kind.BID, Kind.REVEAL):
            self.models[job, int(action["actor"])] = int(action["extra"][0])
        if is_booking:
            self.voted.pop((job, unit), None)
            self.remember(job, unit, new)
        if was and not self.hash_of_papers(job, unit):  # it has fallen before the court
            self.voted.setdefault((job, unit), was)
            self.papers[job, unit] = []
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
            values = (votes.content(job, action["payload"][: 2 * self.layout.num_sellers + HEAD]),)
        return address_of(int(action["actor"])), VOTES_CALLS[kind], job, *values

    def act(self, action: Mapping[str, Any]) -> Reason:
        """As `ledger.apply`, which knows no strangers: the votes let them open, draw and count."""
        is_account = 0 <= int(action["actor"]) < self.layout.num_accounts
        if action["kind"] in VOTES_CALLS and not is_account:
            self.last = None
            return Reason.UNKNOWN_PARTY
        return super().act(action)

    def content_in(self, job: int, unit: int) -> list[int]:
        """The content of a unit that has been booked; blank, if it or its slot has none."""
        if not 0 <= job < self.layout.num_jobs:
            return []
        slot = self.artifact.slots["results"] + reading.MAX_UNITS * job + unit
        digest = word_of(self.evm.state.get_storage(MARKET, slot))
        return self.votes.contents.get(self.votes.number(digest), [])

    def opening(self, job: int, unit: int) -> list[Any]:
        """What has to be shown with a dispute of a unit: plan, contents, and where it began."""
        size, rounds = self.layout.num_sellers, reading.num_rounds(self)
        row = reading.lanes_of(self.job_word(job), reading.JOB)
        plan = plan_of(self.models.get((job, row["buyer"]), 0), size)
        known = [(u, self.content_in(job, u)) for u in range(min(max(unit, 0), row["round"]))]
        earlier = [(u, content) for u, content in known if content]
        before, start, last = b"", 0, [0]
        if earlier:
            u, content = earlier[-1]
            content = self.voted.get((job, u), content)
            claim = claim_of(content, False)
            before = self.votes.encode(content, False)
            start, last = number_of(claim.tree.leaves[-1]), list(map(number_of, claim.last))
        is_there = 0 <= unit <= rounds and self.content_in(job, unit)
        accepted = self.votes.encode(is_there, unit == rounds) if is_there else b""
        program = number_of(plan.programs)
        fixed = [number_of(plan.start), program, plan.depth, plan.size, plan.height]
        return [*fixed, program, [], accepted, before, start, last]

    def found(self, job: int, payload: Sequence[int]) -> list[Any]:
        """A content, and what shows that it goes with the claim that has won."""
        content = [int(x) for x in payload[: 2 * self.layout.num_sellers + HEAD]]
        if not any(content):
            return super().found(job, payload)
        row = reading.lanes_of(self.job_word(job), reading.JOB)
        verifies = row["disputed_unit"] == reading.num_rounds(self)
        claim = claim_of(content, verifies)
        proofs = list(map(number_of, claim.siblings)), list(map(number_of, claim.last))
        return [self.votes.encode(content, verifies), *proofs]

    def unit_of(self, job: int) -> int:
        """The unit that a slot trains, verifies or disputes."""
        row = reading.lanes_of(self.job_word(job), reading.JOB)
        if row["disputed_unit"] >= 0:
            return row["disputed_unit"]
        return row["round"] if row["phase"] < Phase.VERIFY else reading.num_rounds(self)

    def remember(self, job: int, unit: int, new: list[Paper]) -> None:
        """Keeps the list of a unit that has just been booked, unless the contract did not."""
        if number_of(hash_papers(new)) == self.hash_of_papers(job, unit):
            self.papers[job, unit] = new

    def hash_of_papers(self, job: int, unit: int) -> int:
        """What the contract keeps of the list of a unit."""
        slot = self.artifact.slots["papers"] + reading.MAX_UNITS * job + unit
        return int(self.evm.state.get_storage(MARKET, slot))

    def state(self) -> dict[str, np.ndarray]:
        """Ledger and votes by name; the fields of the votes as `votes.<name>`."""
        ledger = reading.state(self, self.votes.number)
        votes = {f"votes.{name}": np.asarray(x) for name, x in self.votes.state().items()}
        return ledger | votes
