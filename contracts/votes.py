"""The votes' contract on a chain, driven by the actions of the functional votes.

Digests are 32 bits in the functional votes and hashes here: who makes up a trace tells which
content and which commitment stand behind a number (`learn_content`, `learn_promise`).
`VotesContract` reads and calls a deployed `D2MVotes.vy`; `VotesChain` is one beside a market that
is set by hand. Read first: `market.py`; next: `chain.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from eth_utils import keccak

from contracts import market
from contracts.compiler import Artifact, compile_contract
from contracts.evm import Evm, Sent
from contracts.market import (
    FIRST_BLOCK,
    VOTES,
    Paper,
    address_of,
    encode,
    number_of,
    reason_text,
    words_of,
)
from contracts.work import HEAD, claim_of
from d2m_jax.core.money import INT_MAX
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes_machine import VoteKind
from d2m_jax.ledger.votes_state import Stage, Terms

MAX_NODES, MAX_SETS = 1024, 32  # as in the contract
JOB_SEED = keccak(text="seed of a job")
TERMS = (
    "commit_window",
    "reveal_window",
    "num_rounds",
    "rule",
    "independent",
    "by_stake",
    "chance",
)
UNIT = ("serial", "unit", "stage", "attempt", "since", "pool", "size", "voters")
COUNT = ("waiting", "digests", "top", "first", "second", "best", "most", "next")
BALLOT = ("serial", "lots", "first_set", "last", "seats", "state")


def compile_votes(text: str | None = None) -> Artifact:
    """Compiles the contract, or a changed text of it."""
    return compile_contract("D2MVotes", {} if text is None else {"D2MVotes": text})


def pack(numbers: Sequence[int], bits: int = 32) -> list[int]:
    """Numbers side by side in words, the lowest first."""
    each = 256 // bits
    rows = [numbers[i : i + each] for i in range(0, len(numbers), each)]
    return [sum(int(x) << bits * i for i, x in enumerate(row)) for row in rows]


def lanes(words: Sequence[int]) -> list[int]:
    """The eight lanes of each word, the lowest first."""
    return [word >> 32 * i & 2**32 - 1 for word in words for i in range(8)]


def word_of(number: int) -> bytes:
    """A whole number as 32 bytes, negative ones in two's complement."""
    return words_of(number)


def hashed(*values: Any) -> bytes:
    """keccak256 of a word per value: integers, or 32 bytes."""
    words = (value if isinstance(value, bytes) else word_of(value) for value in values)
    return keccak(b"".join(words))


def encode_content(
    content: Sequence[int], is_verification: bool, metrics: Mapping[int, int] | None = None
) -> bytes:
    """A content of the functional votes as the bytes that the contract reads; empty if none fit.

    Args:
        content: [2 N + 5] metric, first metric, digests of model, metric and work, two rows [N].
        is_verification: which of the two forms.
        metrics: the contract's digest for that of a metric.
    """
    size = (len(content) - HEAD) // 2
    first, base, model, metric, work = (int(x) for x in content[:HEAD])
    one, two = content[HEAD : HEAD + size], content[HEAD + size :]
    named = work if is_verification else model
    root = number_of(claim_of(content, is_verification).tree.root) if named else 0
    fit = 0 <= first < 2**32
    if is_verification:
        asked = (metrics or {}).get(metric, market.word_of(metric))
        digests = [market.model_of(model, size), asked]
        words = [first | base << 32, *digests, root, *pack(one, 16), *pack(two, 1)]
        fit &= 0 <= base < 2**32 and all(0 <= x < 2**16 for x in one)
        fit &= all(0 <= x < 2 for x in two)
    else:
        words = [first, root, *pack(one, 2)]
        fit &= all(0 <= x < 4 for x in one) and not any([*two, base, metric, work])
    return words_of(*words) if fit else b""


def terms_words(terms: Terms) -> list[int]:
    """The plain numbers of the terms as the constructor wants them."""
    return [int(getattr(terms, name)) for name in TERMS] + [terms.ends.shape[1]]


def table_words(terms: Terms) -> tuple[list[int], list[int], list[int]]:
    """(ends and rows, scores, bounds), packed."""
    empty = [0] * MAX_SETS
    both = [*np.asarray(terms.ends).tolist(), *np.asarray(terms.rows).tolist()]
    sets = [word for row in both for word in pack([*row, *empty][:MAX_SETS])]
    return sets, pack(np.asarray(terms.scores).tolist()), pack(np.asarray(terms.bounds).tolist())


class VotesContract:
    """A deployed contract of votes.

    Args:
        artifact: the compiled contract.
        evm: the chain that it is on.
        num_jobs, num_nodes, num_sellers: of the layout.
    """

    def __init__(
        self, artifact: Artifact, evm: Evm, *, num_jobs: int, num_nodes: int, num_sellers: int
    ):
        self.artifact, self.evm, self.address = artifact, evm, VOTES
        self.num_jobs, self.num_nodes, self.num_sellers = num_jobs, num_nodes, num_sellers
        self.metrics: dict[int, int] = {}  # the contract's digests for those of metrics
        self.forget()

    def forget(self) -> None:
        """No number stands for a hash any more."""
        self.contents: dict[int, list[int]] = {}  # behind a digest
        self.promises: dict[int, bytes] = {}  # a commitment for another
        self.numbers: dict[bytes, int] = {}
        self.metrics.clear()

    def creation(self, market_address: int, terms: Terms) -> bytes:
        """The code that creates it, with its arguments."""
        sets, scores, bounds = table_words(terms)
        start = [market_address, self.num_jobs, self.num_nodes, self.num_sellers]
        start += [*terms_words(terms), *sets, terms.scores.shape[0]]
        return self.artifact.code + encode(*start, scores, bounds)

    def start_over(self, terms: Terms) -> None:
        """As if created anew with other terms, without the transactions that it takes."""
        evm, at = self.evm.state, self.artifact
        new = words_of(*terms_words(terms))
        evm.set_code(self.address, at.set_fixed(evm.get_code(self.address), "T", new))
        evm.delete_storage(self.address)
        sets, scores, bounds = table_words(terms)
        for name, words in (("ends", sets), ("scores", scores), ("bounds", bounds)):
            for i, word in enumerate(words):
                evm.set_storage(self.address, at.slots[name] + i, word)
        evm.set_storage(self.address, at.slots["num_scores"], terms.scores.shape[0])
        evm.lock_changes()
        self.forget()

    def call(self, sender: bytes, name: str, *values: Any) -> Sent:
        """A transaction by function name; a name that the contract lacks calls nothing it knows."""
        selector = self.artifact.selectors.get(name, b"\xff\xff\xff\xff")
        if name == "open_content":
            job, data = values
            tail = words_of(job, 64, len(data)) + data + bytes(-len(data) % 32)
            return self.evm.call(sender, self.address, selector + tail)
        whole = [int.from_bytes(v, "big") if isinstance(v, bytes) else v for v in values]
        return self.evm.call(sender, self.address, selector + encode(*whole))

    # What numbers stand for

    def learn_content(self, number: int, content: Sequence[int]) -> None:
        """From now on the digest stands for the content, in the form that the unit asks for."""
        self.contents[number] = [int(x) for x in content]

    def learn_promise(self, number: int, job: int, set_: int, node: int, digest: int, salt: int):
        """From now on the commitment stands for the contract's, in the unit of a slot."""
        opens = self.digest(job, digest), word_of(salt)
        promise = hashed(self.seed(job), set_, node, *opens)
        self.promises[number], self.numbers[promise] = promise, number

    def digest(self, job: int, number: int) -> bytes:
        """The contract's digest for a number, in the unit of a slot."""
        known = self.contents.get(number)
        content = self.content(job, known) if known else b""  # a slot that is none: any form
        paper = keccak(content) if content else word_of(number)
        self.numbers[paper] = number
        return paper

    def number(self, paper: bytes) -> int:
        """The number of 32 bytes."""
        known = self.numbers.get(paper)
        return int.from_bytes(paper, "big", signed=True) if known is None else known

    def encode(self, content: Sequence[int], is_verification: bool) -> bytes:
        """The bytes of a content of one of the two kinds."""
        return encode_content(content, is_verification, self.metrics)

    def content(self, job: int, content: Sequence[int]) -> bytes:
        """The bytes of a content for the unit that is in a slot."""
        in_range = 0 <= job < self.num_jobs
        return encode_content(content, in_range and self.verifies(job), self.metrics)

    def verifies(self, job: int) -> bool:
        """Whether the unit in a slot is a verification, or executes one again."""
        rounds, unit = self.terms_now()[2], lanes(self._read("units", 2 * job, 1))[1]
        return unit in (rounds, 2 * rounds + 1)

    def terms_now(self) -> list[int]:
        """The plain terms, read off the code."""
        code = self.evm.state.get_code(self.address)
        start, length = self.artifact.fixed["T"]
        data = code[len(code) - self.artifact.immutables + start :][:length]
        return [int.from_bytes(data[i : i + 32], "big") for i in range(0, length, 32)]

    # What is stored

    def _read(self, name: str, start: int, number: int) -> list[int]:
        first = self.artifact.slots[name] + start
        read = self.evm.state.get_storage
        return [read(self.address, first + i) for i in range(number)]

    def seed(self, job: int) -> bytes:
        """The seed of the unit in a slot."""
        return word_of(self._read("seeds", job, 1)[0])

    def mixed(self, job: int) -> bytes:
        """All salts that were revealed in a slot."""
        return word_of(self._read("mixed", job, 1)[0])

    def attempt(self, job: int) -> int:
        """Sets drawn for the unit in a slot."""
        return lanes(self._read("units", 2 * job, 1))[3]

    def papers_of(self, job: int) -> list[Paper]:
        """Who has revealed what, set by set and by rising node, read off storage."""
        voters = lanes(self._read("units", 2 * job, 1))[7]
        roll = lanes(self._read("rolls", MAX_NODES // 8 * job, (voters + 7) // 8))[:voters]
        states = {node: lanes(self._read("ballots", MAX_NODES * job + node, 1))[5] for node in roll}
        return [
            (node, word_of(self._read("papers", MAX_NODES * job + node, 1)[0]))
            for node in roll
            if states[node] == 2
        ]

    def seats(self, job: int) -> list[int]:
        """Lots of each node in the next set of a slot, as chance will give them."""
        terms, u = self.terms_now(), dict(zip(UNIT, lanes(self._read("units", 2 * job, 1))))
        urn, attempt = self._urn(job), u["attempt"]
        if terms[4]:
            return drawn_by_chance(self.seed(job), attempt + 1, urn)
        if u["stage"] != Stage.OPEN:
            return [0] * self.num_nodes
        disputes = u["unit"] > terms[2]
        ends = lanes(self._read("ends", MAX_SETS // 8 * disputes, MAX_SETS // 8))
        taken = min(ends[attempt - 1], u["pool"]) if attempt else 0
        size = min(ends[attempt], u["pool"]) - taken
        return drawn_lots(self.seed(job), attempt + 1, urn, size)

    def _urn(self, job: int) -> list[int]:
        words = self._read("urns", MAX_NODES // 8 * job, -(-self.num_nodes // 8))
        return lanes(words)[: self.num_nodes]

    def state(self) -> dict[str, list[Any]]:
        """The state of all slots under the names of the functional votes, but content and points.

        A commitment that was opened is not kept, and reads as 0.
        """
        slots = [self._slot(job) for job in range(self.num_jobs)]
        return {name: [slot[name] for slot in slots] for name in slots[0]}

    def _slot(self, job: int) -> dict[str, Any]:
        words = lanes(self._read("units", 2 * job, 2))
        u = dict(zip(UNIT + COUNT, words))
        own = [
            (dict(zip(BALLOT, lanes([ballot]))), word_of(paper))
            for ballot, paper in zip(
                self._read("ballots", MAX_NODES * job, self.num_nodes),
                self._read("papers", MAX_NODES * job, self.num_nodes),
            )
        ]
        blank, accepted = dict.fromkeys(BALLOT, 0), self._read("accepted", job, 1)[0]
        mine = [
            (b, p) if u["serial"] and b["serial"] == u["serial"] else (blank, b"") for b, p in own
        ]
        number = self.number
        return {
            **{name: u[name] for name in ("serial", "unit", "stage", "attempt", "pool", "size")},
            "since": u["since"] - FIRST_BLOCK if u["attempt"] else 0,
            "drawn": sum(b["lots"] for b, _ in mine),
            "accepted": number(word_of(accepted)) if u["stage"] == Stage.DECIDED else 0,
            "is_open": u["serial"] > 0 and self._read("told", job, 1)[0] == u["serial"],
            "urn": self._urn(job),
            "lots": [b["lots"] for b, _ in mine],
            "seats": [b["seats"] if b["last"] == u["attempt"] else 0 for b, _ in mine],
            "first_set": [b["first_set"] for b, _ in mine],
            "commitments": [number(p) if b["state"] == 1 else 0 for b, p in mine],
            "digests": [number(p) if b["state"] == 2 else 0 for b, p in mine],
        }


class VotesChain(VotesContract):
    """A deployed contract beside a stand-in for the market, with all nodes enrolled.

    Args:
        artifact: the compiled contract.
        stub: the compiled stand-in.
        terms: functional terms of the vote.
        num_jobs, num_nodes, num_sellers: of the layout.
    """

    def __init__(
        self,
        artifact: Artifact,
        stub: Artifact,
        terms: Terms,
        *,
        num_jobs: int,
        num_nodes: int,
        num_sellers: int,
    ):
        size = {"num_jobs": num_jobs, "num_nodes": num_nodes, "num_sellers": num_sellers}
        super().__init__(artifact, Evm(), **size)
        self.stub, self.market = stub, b"D2MS".rjust(20, b"\0")
        self.evm.block = FIRST_BLOCK
        self.anybody = address_of(-5)
        self.last: Sent | None = None
        sizes = encode(number_of(VOTES), *size.values(), int(terms.num_rounds), 2**31, 2**62)
        assert self.evm.create(self.anybody, self.market, stub.code + sizes).ok
        code = self.creation(number_of(self.market), terms)
        self.birth = self.evm.create(self.anybody, self.address, code)
        if not self.birth.ok:
            raise ValueError(f"the contract refused to start: {reason_text(self.birth.output)}")
        for node in range(num_nodes):
            self.tell_market("enrol", number_of(address_of(node)))

    def start_over(self, terms: Terms) -> None:
        """As if created anew with other terms."""
        super().start_over(terms)
        self.evm.block = FIRST_BLOCK

    def tell_market(self, name: str, *values: Any) -> None:
        """A call of the stand-in for the market."""
        data = self.stub.selectors[name] + encode(*values)
        assert self.evm.call(self.anybody, self.market, data).ok

    def send(self, action: Mapping[str, Any]) -> Sent:
        """The transaction that an action (fields of `VoteAction`, integers) stands for."""
        job, value, payload = int(action["job"]), int(action["value"]), list(action["payload"])
        node, anybody = address_of(int(action["node"])), self.anybody
        if action["kind"] == VoteKind.OPEN_UNIT:
            stakes = [max(int(x), 0) for x in payload[: self.num_nodes]]
            serial = max(int(action["amount"]), 0)
            self.tell_market("want", job, serial, value, number_of(JOB_SEED))
            self.tell_market("pledge", job, pack(stakes, 64))
            return self.call(anybody, "open_unit", job)
        if action["kind"] == VoteKind.COMMIT_VOTE:
            return self.call(node, "commit_vote", job, self.promises.get(value, word_of(value)))
        if action["kind"] == VoteKind.REVEAL_VOTE:
            salt = word_of(int(action["salt"]))
            return self.call(node, "reveal_vote", job, self.digest(job, value), salt)
        if action["kind"] == VoteKind.OPEN_CONTENT:
            content = payload[: 2 * self.num_sellers + HEAD]
            return self.call(anybody, "open_content", job, self.content(job, content))
        name = {VoteKind.DRAW: "draw", VoteKind.TALLY: "tally"}.get(action["kind"], "")
        return self.call(anybody, name, job)

    def act(self, action: Mapping[str, Any]) -> Reason:
        """Does an action and says how it went, as `apply_vote` does."""
        if action["kind"] == VoteKind.WAIT:
            blocks = int(action["amount"])
            if blocks < 0 or self.block + blocks > INT_MAX:
                return Reason.BAD_VALUE
            self.evm.block += blocks
            return Reason.OK
        self.last = self.send(action)
        return Reason.OK if self.last.ok else Reason[reason_text(self.last.output)]

    @property
    def block(self) -> int:
        """Blocks since the contract was created."""
        return self.evm.block - FIRST_BLOCK


# The chance of the contract, derived again.


def seed_of(address: bytes, job: int, serial: int, seed: bytes, mixed: bytes) -> bytes:
    """Of a unit: keccak256 of the contract, slot, serial, seed of the job and all salts so far."""
    return hashed(int.from_bytes(address, "big"), job, serial, seed, mixed)


def drawn_lots(seed: bytes, attempt: int, urn: Sequence[int], size: int) -> list[int]:
    """Lots of each node in a set of `size` of the lots that are in the urn."""
    row = [node for node, lots in enumerate(urn) for _ in range(lots)]
    got = [0] * len(urn)
    for k in range(size):
        at = int.from_bytes(hashed(seed, attempt, k), "big") % len(row)
        got[row[at]] += 1
        row[at] = row[-1]
        row.pop()
    return got


def drawn_by_chance(seed: bytes, attempt: int, urn: Sequence[int]) -> list[int]:
    """Who has a seat when every node has one with its chance, in 2^-31."""
    hashes = (hashed(seed, attempt, node) for node in range(len(urn)))
    return [int(int.from_bytes(h, "big") % 2**31 < chance) for h, chance in zip(hashes, urn)]


def stirred(mixed: bytes, node: int, salt: bytes) -> bytes:
    """What `mixed` becomes by a reveal."""
    one, two = (int.from_bytes(x, "big") for x in (mixed, hashed(node, salt)))
    return word_of(one ^ two)
