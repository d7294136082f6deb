"""The votes' contract on a chain, driven by the actions of the functional votes.

One `VotesChain` is one deployed `D2MVotes.vy` beside a market that is set by hand. Digests are 32
bits in the functional votes and hashes here: `Papers` knows which stands for which. Read first:
`market.py`.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from eth_utils import keccak

from contracts.evm import Evm, Sent
from contracts.market import FIRST_BLOCK, Artifact, address_of, compile_market, encode, reason_text
from d2m_jax.core.money import INT_MAX
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes_machine import VoteKind
from d2m_jax.ledger.votes_state import Stage, Terms

SOURCE = pathlib.Path(__file__).with_name("D2MVotes.vy")
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


def compile_votes(source: str | None = None) -> Artifact:
    """Compiles the contract, or a changed text of it."""
    return compile_market(source or SOURCE.read_text())


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
    return (int(number) % 2**256).to_bytes(32, "big")


def hashed(*values: Any) -> bytes:
    """keccak256 of a word per value: integers, or 32 bytes."""
    words = (value if isinstance(value, bytes) else word_of(value) for value in values)
    return keccak(b"".join(words))


def encode_content(content: Sequence[int], is_verification: bool) -> bytes:
    """A content of the functional votes as the bytes that the contract reads; empty if none fit."""
    size = (len(content) - 4) // 2
    head, one, two = content[:4], content[4 : 4 + size], content[4 + size :]
    if is_verification:
        words = [head[0] | head[1] << 32, head[2], head[3], *pack(one, 16), *pack(two, 1)]
        fit = all(0 <= x < 2**16 for x in one) and all(0 <= x < 2 for x in two)
        fit &= all(0 <= x < 2**32 for x in head[:2])
    else:
        words = [head[2], *pack(one, 2)]
        fit = all(0 <= x < 4 for x in one) and not any([*two, *head[:2], head[3]])
    return b"".join(map(word_of, words)) if fit else b""


class Papers:
    """Which hash stands for which 32-bit digest or commitment; others stand for themselves."""

    def __init__(self) -> None:
        self.hash_of: dict[int, bytes] = {}
        self.number_of: dict[bytes, int] = {}

    def learn(self, number: int, paper: bytes) -> None:
        """From now on the number stands for the hash, and the hash for the number."""
        self.hash_of[number], self.number_of[paper] = paper, number

    def hash(self, number: int) -> bytes:
        """32 bytes of a number."""
        return self.hash_of.get(number, word_of(number))

    def number(self, paper: bytes) -> int:
        """The number of 32 bytes."""
        known = self.number_of.get(paper)
        return int.from_bytes(paper, "big", signed=True) if known is None else known


def terms_words(terms: Terms) -> list[int]:
    """The plain numbers of the terms as the constructor wants them."""
    return [int(getattr(terms, name)) for name in TERMS] + [terms.ends.shape[1]]


def table_words(terms: Terms) -> tuple[list[int], list[int], list[int]]:
    """(ends and rows, scores, bounds), packed."""
    empty = [0] * MAX_SETS
    both = [*np.asarray(terms.ends).tolist(), *np.asarray(terms.rows).tolist()]
    sets = [word for row in both for word in pack([*row, *empty][:MAX_SETS])]
    return sets, pack(np.asarray(terms.scores).tolist()), pack(np.asarray(terms.bounds).tolist())


class VotesChain:
    """A deployed contract of votes, with all nodes enrolled.

    Args:
        artifact: the compiled contract.
        market: the compiled stand-in for the market.
        terms: functional terms of the vote.
        num_jobs, num_nodes, num_sellers: of the layout.
    """

    def __init__(
        self,
        artifact: Artifact,
        market: Artifact,
        terms: Terms,
        *,
        num_jobs: int,
        num_nodes: int,
        num_sellers: int,
    ):
        self.artifact, self.stub = artifact, market
        self.num_jobs, self.num_nodes, self.num_sellers = num_jobs, num_nodes, num_sellers
        self.evm, self.papers = Evm(), Papers()
        self.evm.block = FIRST_BLOCK
        self.address, self.market = b"D2MV".rjust(20, b"\0"), b"D2MS".rjust(20, b"\0")
        self.anybody = address_of(-5)
        self.last: Sent | None = None
        assert self.evm.create(self.anybody, self.market, market.code + encode(num_nodes)).ok
        sets, scores, bounds = table_words(terms)
        start = [int.from_bytes(self.market, "big"), num_jobs, num_nodes, num_sellers]
        start += [*terms_words(terms), *sets, terms.scores.shape[0]]
        self.birth = self.evm.create(
            self.anybody, self.address, artifact.code + encode(*start, scores, bounds)
        )
        if not self.birth.ok:
            raise ValueError(f"the contract refused to start: {reason_text(self.birth.output)}")
        for node in range(num_nodes):
            self.tell_market("enrol", int.from_bytes(address_of(node), "big"))

    def start_over(self, terms: Terms) -> None:
        """As if created anew with other terms, without the transactions that it takes."""
        evm, at = self.evm.state, self.artifact
        new = b"".join(map(word_of, terms_words(terms)))
        code = evm.get_code(self.address)
        body, data = code[: -at.immutables], code[-at.immutables :]
        evm.set_code(self.address, body + new + data[len(new) :])
        evm.delete_storage(self.address)
        sets, scores, bounds = table_words(terms)
        for name, words in (("ends", sets), ("scores", scores), ("bounds", bounds)):
            for i, word in enumerate(words):
                evm.set_storage(self.address, at.slots[name] + i, word)
        evm.set_storage(self.address, at.slots["num_scores"], terms.scores.shape[0])
        evm.lock_changes()
        self.evm.block, self.papers = FIRST_BLOCK, Papers()

    def tell_market(self, name: str, *values: Any) -> None:
        """A call of the stand-in for the market."""
        data = self.stub.selectors[name] + encode(*values)
        assert self.evm.call(self.anybody, self.market, data).ok

    def call(self, sender: bytes, name: str, *values: Any) -> Sent:
        """A transaction by function name; a name that the contract lacks calls nothing it knows."""
        selector = self.artifact.selectors.get(name, b"\xff\xff\xff\xff")
        content = [value for value in values if isinstance(value, bytes) and len(value) != 32]
        if content:
            job, data = values
            padded = data + bytes(-len(data) % 32)
            return self.evm.call(
                sender, self.address, selector + encode(job, 64, len(data)) + padded
            )
        whole = [int.from_bytes(v, "big") if isinstance(v, bytes) else v for v in values]
        return self.evm.call(sender, self.address, selector + encode(*whole))

    def send(self, action: Mapping[str, Any]) -> Sent:
        """The transaction that an action (fields of `VoteAction`, integers) stands for."""
        job, value, payload = int(action["job"]), int(action["value"]), list(action["payload"])
        node, anybody = address_of(int(action["node"])), self.anybody
        if action["kind"] == VoteKind.OPEN_UNIT:
            stakes = [max(int(x), 0) for x in payload[: self.num_nodes]]
            self.tell_market("want", job, max(int(action["amount"]), 0), value, *_words(JOB_SEED))
            self.tell_market("pledge", job, pack(stakes))
            return self.call(anybody, "open_unit", job)
        if action["kind"] == VoteKind.COMMIT_VOTE:
            return self.call(node, "commit_vote", job, self.papers.hash(value))
        if action["kind"] == VoteKind.REVEAL_VOTE:
            salt = word_of(int(action["salt"]))
            return self.call(node, "reveal_vote", job, self.papers.hash(value), salt)
        if action["kind"] == VoteKind.OPEN_CONTENT:
            content = payload[: 2 * self.num_sellers + 4]
            return self.call(anybody, "open_content", job, self.content(job, content))
        name = {VoteKind.DRAW: "draw", VoteKind.TALLY: "tally"}.get(action["kind"], "")
        return self.call(anybody, name, job)

    def content(self, job: int, content: Sequence[int]) -> bytes:
        """The bytes of a content for the unit that is in a slot."""
        in_range = 0 <= job < self.num_jobs
        return encode_content(content, in_range and self.verifies(job))

    def verifies(self, job: int) -> bool:
        """Whether the unit in a slot is a verification, or executes one again."""
        rounds, unit = self.terms_now()[2], lanes(self._read("units", 2 * job, 1))[1]
        return unit in (rounds, 2 * rounds + 1)

    def terms_now(self) -> list[int]:
        """The plain terms, read off the code."""
        data = self.evm.state.get_code(self.address)[-self.artifact.immutables :]
        return [int.from_bytes(data[i : i + 32], "big") for i in range(0, 256, 32)]

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
        number = self.papers.number
        return {
            **{name: u[name] for name in ("serial", "unit", "stage", "attempt", "pool", "size")},
            "since": u["since"] - FIRST_BLOCK if u["attempt"] else 0,
            "drawn": sum(b["lots"] for b, _ in mine),
            "accepted": number(word_of(accepted)) if u["stage"] == Stage.DECIDED else 0,
            "is_open": u["serial"] > 0 and self._read("told", job, 1)[0] == u["serial"],
            "urn": lanes(self._read("urns", MAX_NODES // 8 * job, -(-self.num_nodes // 8)))[
                : self.num_nodes
            ],
            "lots": [b["lots"] for b, _ in mine],
            "seats": [b["seats"] if b["last"] == u["attempt"] else 0 for b, _ in mine],
            "first_set": [b["first_set"] for b, _ in mine],
            "commitments": [number(p) if b["state"] == 1 else 0 for b, p in mine],
            "digests": [number(p) if b["state"] == 2 else 0 for b, p in mine],
        }


def _words(*papers: bytes) -> list[int]:
    return [int.from_bytes(paper, "big") for paper in papers]


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
