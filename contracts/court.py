"""The court's contract on a chain, driven by the actions of the pure game `d2m_jax.court.game`.

The same names, the same arguments and receipts; the whole state is read back from storage as a
`game.Court`, so that the two can be compared field by field. An account is the number of an
address, a unit is a wei.
"""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from contracts.compiler import Artifact, compile_contract
from contracts.evm import Evm, Sent
from contracts.market import FIRST_BLOCK, encode, in_map, reason_text
from d2m_jax.court import game
from d2m_jax.court.steps import Step, Witness
from d2m_jax.court.tree import Word, pair, word
from d2m_jax.ledger import Reason

SOURCE = pathlib.Path(__file__).with_name("D2MCourt.vy")
PLENTY = 10**30  # wei of every account


def compile_court() -> Artifact:
    """Compiles the contract."""
    return compile_contract("D2MCourt")


def court_start(terms: game.Terms) -> bytes:
    """The arguments of the constructor."""
    return encode(*terms)


def numbers(*values: Any) -> list[Any]:
    """Words as integers, lists of words as lists of integers, a step as its eleven words."""
    out: list[Any] = []
    for value in values:
        if isinstance(value, bytes):
            out.append(int.from_bytes(value, "big"))
        elif isinstance(value, Step):
            out += numbers(*map(int, value[:-1]), value.seed)
        elif isinstance(value, Sequence):
            out.append(numbers(*value))
        else:
            out.append(int(value))
    return out


class CourtContract:
    """A deployed contract.

    Args:
        artifact: the compiled contract.
        terms: of the court.
        evm: a chain to live on, by default a new one.
        address: where it lives.
    """

    def __init__(
        self,
        artifact: Artifact,
        terms: game.Terms,
        evm: Evm | None = None,
        address: bytes = b"COURT".rjust(20, b"\0"),
    ):
        self.artifact, self.terms = artifact, terms
        self.evm = evm or Evm()
        self.evm.block = FIRST_BLOCK
        self.address = address
        self.last: Sent | None = None
        code = artifact.code + court_start(terms)
        self.birth = self.evm.create(b"\x01" * 20, self.address, code)
        if not self.birth.ok:
            raise ValueError(f"the contract refused to start: {reason_text(self.birth.output)}")

    @classmethod
    def deployed(
        cls, artifact: Artifact, terms: game.Terms, evm: Evm, address: bytes
    ) -> "CourtContract":
        """The driver of a contract that is there."""
        made = cls.__new__(cls)
        made.artifact, made.terms, made.evm, made.address = artifact, terms, evm, address
        made.last = None
        return made

    @property
    def latest(self) -> int:
        """Number of the latest duel."""
        return self._read("duels_met")

    def call(self, actor: int, name: str, *values: Any, value: int = 0) -> Reason:
        """A transaction, and its receipt."""
        sender = actor.to_bytes(20, "big")
        if value and self.evm.state.get_balance(sender) < PLENTY:
            self.evm.state.set_balance(sender, 2 * PLENTY)
        data = self.artifact.selectors[name] + encode(*numbers(*values))
        self.last = self.evm.call(sender, self.address, data, value)
        return Reason.OK if self.last.ok else Reason[reason_text(self.last.output)]

    def claim(
        self, actor: int, case: Word, left: Word, right: Word, result: Word,
        first: Sequence[Word], last: Sequence[Word], salt: Word, value: int,
    ) -> Reason:  # fmt: skip
        """As `game.claim`."""
        rest = (left, right, result, salt, list(first), list(last))
        return self.call(actor, "claim", case, *rest, value=value)

    def judge(
        self, actor: int, duel: int, checkpoint: Word, proof: Sequence[Word], step: Step,
        step_proof: Sequence[Word], witness: Witness,
    ) -> Reason:  # fmt: skip
        """As `game.judge`."""
        rest = (list(proof), list(step_proof), list(witness.values), list(witness.proofs))
        return self.call(actor, "judge", duel, checkpoint, step, *rest)

    @property
    def block(self) -> int:
        """Blocks since the contract was created."""
        return self.evm.block - FIRST_BLOCK

    def wait(self, blocks: int) -> None:
        """Blocks pass."""
        self.evm.block += blocks

    def _read(self, variable: str, key: int | None = None, offset: int = 0) -> int:
        slot = self.artifact.slots[variable]
        at = slot if key is None else in_map(slot, key)
        return self.evm.state.get_storage(self.address, at + offset)

    def _words(self, variable: str, key: int, count: int) -> list[Word]:
        return [word(self._read(variable, key, i)) for i in range(count)]

    def state(
        self, cases: Iterable[Word], accounts: Iterable[int], digests: Iterable[Word]
    ) -> game.Court:
        """The whole state, of cases, accounts and commitments that may exist."""
        claims = tuple(self._claim(i + 1) for i in range(self._read("claims_made")))
        duels = tuple(self._duel(i + 1) for i in range(self._read("duels_met")))
        found = {name: self._case(name) for name in cases}
        roots = {(claim.case, claim.root) for claim in claims}
        blocks = {d: self._read("committed", int.from_bytes(d, "big")) for d in digests}
        return game.Court(
            terms=self.terms,
            block=self.block,
            commits={d: block - FIRST_BLOCK for d, block in blocks.items() if block},
            cases={name: case for name, case in found.items() if case.depth},
            claims=claims,
            duels=duels,
            roots=frozenset(x for x in roots if self._read("stands", _key(pair(*x)))),
            balances={a: x for a in accounts if (x := self._read("balances", a))},
            burned=self._read("burned"),
            held=self.evm.state.get_balance(self.address),
        )

    def _case(self, name: Word) -> game.Case:
        start, program, packed = self._words("cases", _key(name), 3)
        depth, memory, since, running, waiting, winner, closed, last = _lanes(packed)
        since, closed = (block - FIRST_BLOCK if block else -1 for block in (since, closed))
        fate = (last % 2**29, last >> 30, bool(last >> 29 & 1))
        rest = (since, running, waiting, winner, closed, *fate)
        return game.Case(start, program, depth, memory, *rest)

    def _claim(self, number: int) -> game.Claim:
        case, left, right, result, purse = self._words("claims", number, 5)
        bond, owner = int.from_bytes(purse[:12], "big"), int.from_bytes(purse[12:], "big")
        return game.Claim(case, owner, left, right, result, bond)

    def _duel(self, number: int) -> game.Duel:
        mine, left, right, packed = self._words("duels", number, 4)
        a, b, clock_a, clock_b, index, since, height, state = _lanes(packed)
        return game.Duel(
            (a, b), state & 1, height, index, mine, left, right, (clock_a, clock_b),
            since - FIRST_BLOCK, state >> 1,
        )  # fmt: skip


def _key(name: Word) -> int:
    return int.from_bytes(name, "big")


def _lanes(packed: Word) -> list[int]:
    return [int.from_bytes(packed[28 - 4 * i : 32 - 4 * i], "big") for i in range(8)]
