"""Work in steps that are exact in whole numbers, so that a contract can judge any one of them.

A unit of work is a memory of 2^m words and a public list of steps. A step reads some words and
writes one; the root of the memory after it is a checkpoint. What is not exact is one `POOL` step
with any effect, on which the pool of nodes votes. Fixed point: entries are multiples of 2^-16.
Read next: `game.py`; the same in Vyper: `contracts/D2MCourt.vy`.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from d2m_jax.court.tree import Tree, Word, word

ONE = 2**16  # of the fixed point
LEAST, MOST = -(2**31), 2**31 - 1  # what is written is clipped to 32 bits
MAX_READS = 64  # words that one step reads, besides the one that it writes
MAX_MEMORY, MAX_DEPTH = 20, 32  # of the memory's tree, and of a claim's
MAX_PLACE, MAX_FACTOR = 2**32, 2**40  # bounds on addresses and counts, and on a and b


class Op(IntEnum):
    """What a step does; r, s are the words of its two ranges, x the word that it overwrites."""

    HALT = 0  # nothing: the work is over and its tree is filled up
    DRAW = 1  # the seller that seed and masses r draw, among those that are not in s
    SUM = 2  # sum of r
    TRIMMED_MEAN = 3  # mean of r without the a smallest and a largest; a = (n - 1) // 2: the median
    AXPY = 4  # (a x + b r_0) / 2^16, rounded: one coordinate of the server's step or memory
    COUNT = 5  # x plus the number of places in which r and s agree: correct answers
    POOL = 6  # what is not exact in whole numbers: any change, the pool decides


class Step(NamedTuple):
    """One line of the program; twelve words of the contract."""

    op: Op
    into: int = 0  # address of the word that is written
    start: int = 0  # first range: start, start + stride, ...
    stride: int = 1
    size: int = 0
    start2: int = 0  # second range
    stride2: int = 1
    size2: int = 0
    a: int = 0
    b: int = 0
    seed: Word = bytes(32)

    @property
    def digest(self) -> Word:
        """SHA-256 of its words: a leaf of the program's tree."""
        numbers = b"".join(word(number) for number in self[:-1])
        return hashlib.sha256(numbers + self.seed).digest()

    @property
    def reads(self) -> list[int]:
        """Addresses of the words that a witness shows: both ranges, then the written word."""
        first = [self.start + self.stride * i for i in range(self.size)]
        second = [self.start2 + self.stride2 * i for i in range(self.size2)]
        return [*first, *second, self.into]

    @property
    def is_sane(self) -> bool:
        """Numbers that a contract can compute with, and no more reads than it allows."""
        places = self[1:8]
        return (
            all(0 <= number < MAX_PLACE for number in places)
            and max(abs(self.a), abs(self.b)) <= MAX_FACTOR
            and self.size + self.size2 <= MAX_READS
        )


class Witness(NamedTuple):
    """What a judge needs of the memory before a step."""

    values: list[int]
    proofs: list[Word]  # of all values, one after the other


def clip(value: int) -> int:
    """The nearest number of 32 bits."""
    return max(LEAST, min(MOST, value))


def compute(step: Step, values: Sequence[int]) -> int:
    """The word that an exact step writes.

        DRAW          x = SHA256(seed, a) mod (sum of the masses); the first i with
                      mass_0 + ... + mass_i > x; -1 if there is no mass
        SUM           clip(sum r)
        TRIMMED_MEAN  floor((2 s + m) / 2 m), s the sum of the m = n - 2 a words in the middle
        AXPY          clip(floor((a x + b r_0 + 2^15) / 2^16))
        COUNT         clip(x + sum_i [r_i = s_i])

    Args:
        step: not HALT, which writes nothing, and not POOL.
        values: of the words `step.reads`.

    Raises:
        ValueError: the step makes no sense.
    """
    n, old = step.size, values[-1]
    first, second = list(values[:n]), list(values[n : n + step.size2])
    if step.op == Op.DRAW:
        mass = [0 if i in second else max(m, 0) for i, m in enumerate(first)]
        return _drawn(mass, hashlib.sha256(step.seed + word(step.a)).digest())
    if step.op == Op.SUM:
        return clip(sum(first))
    if step.op == Op.TRIMMED_MEAN and 0 <= 2 * step.a < n:
        middle = sorted(first)[step.a : n - step.a]
        return (2 * sum(middle) + len(middle)) // (2 * len(middle))
    if step.op == Op.AXPY and n == 1:
        return clip((step.a * old + step.b * first[0] + ONE // 2) // ONE)
    if step.op == Op.COUNT and n == step.size2:
        return clip(old + sum(r == s for r, s in zip(first, second)))
    raise ValueError(f"no exact step: {step}")


def _drawn(mass: list[int], random: bytes) -> int:
    total = sum(mass)
    x = int.from_bytes(random, "big") % total if total else 0
    for i, m in enumerate(mass):
        if x < m:
            return i
        x -= m
    return -1


class Memory:
    """2^m words and their tree."""

    def __init__(self, values: Sequence[int]):
        size = 1 << max(1, (len(values) - 1).bit_length())
        self.values = [*values, *[0] * (size - len(values))]
        self.tree = Tree([word(value) for value in self.values])

    def write(self, address: int, value: int) -> None:
        """Puts a number into a word."""
        self.values[address] = value
        self.tree.set(address, word(value))

    def witness(self, step: Step) -> Witness:
        """The words that a step reads, with their proofs."""
        values = [self.values[address] for address in step.reads]
        return Witness(values, [x for address in step.reads for x in self.tree.proof(address)])

    def take(self, step: Step) -> None:
        """One exact step."""
        if step.op != Op.HALT:
            self.write(step.into, compute(step, [self.values[at] for at in step.reads]))


class Work(NamedTuple):
    """A unit of work: where it starts, and what is to be done."""

    start: tuple[int, ...]  # the memory before
    program: tuple[Step, ...]

    @property
    def depth(self) -> int:
        """Of the tree of checkpoints, the first of which is the start."""
        return max(1, len(self.program).bit_length())

    @property
    def steps(self) -> list[Step]:
        """The program, filled up with HALT to 2^depth - 1 steps."""
        return [*self.program, *[Step(Op.HALT)] * (2**self.depth - 1 - len(self.program))]

    @property
    def program_tree(self) -> Tree:
        """Tree of the steps; the last leaf is empty."""
        return Tree([*(step.digest for step in self.steps), bytes(32)])


class Run(NamedTuple):
    """Work that somebody did, right or wrong: a claim and what is needed to defend it."""

    work: Work
    tree: Tree  # of checkpoints
    memory: Memory  # after it
    given: Mapping[int, int]  # what was written in place of what the steps say


def memories(work: Work, given: Mapping[int, int] | None = None) -> Iterator[Memory]:
    """The memory before the first step and after each one; always the same object, changed.

    Args:
        work: what is to be done.
        given: step -> number that is written there: the result of a POOL step, or a lie.
    """
    given, memory = given or {}, Memory(work.start)
    yield memory
    for i, step in enumerate(work.steps):
        if i in given:
            memory.write(step.into, given[i])
        else:
            memory.take(step)
        yield memory


def run(work: Work, given: Mapping[int, int] | None = None) -> Run:
    """Does the work and keeps all checkpoints; `given` as in `memories`."""
    memory, roots = Memory(()), []
    for memory in memories(work, given):
        roots.append(memory.tree.root)
    return Run(work, Tree(roots), memory, given or {})


def before(work: Work, index: int, given: Mapping[int, int] | None = None) -> Memory:
    """The memory before a step, recomputed; `given` as in `memories`."""
    return next(itertools.islice(memories(work, given), index, None))
