"""The work of a whole job: what its buyer fixes, and units that begin where earlier ones ended.

A buyer's model is the digest of a `Plan`. The first words of the memory are the content of a unit
(`ledger/contents.py`): whoever shows them and the last checkpoint of a claim shows the one content
that goes with the claim. A unit begins with the last checkpoint of the latest one that has a
result. Read first: `steps.py`, `rounds.py`.
"""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from d2m_jax.court.steps import MAX_READS, ONE, Memory, Op, Run, Step, Work, run
from d2m_jax.court.tree import Tree, Word, word

METRIC, BASE, SELLERS = 0, 1, 2  # where the words of a content begin
HARM = 2**16  # added to the weight of a seller against which there is evidence of harm


class Plan(NamedTuple):
    """The work of a job, as its buyer fixes it."""

    start: Word  # root of the memory before the first unit
    programs: Word  # root of the programs of all units, by rising unit
    depth: int  # of a claim's tree
    size: int  # depth of the memory's tree
    height: int = 0  # of the tree of programs; 0: all units have the same

    @property
    def digest(self) -> Word:
        """The buyer's model: SHA-256 of five words."""
        return hashlib.sha256(self.start + self._what_is_done).digest()

    @property
    def trained(self) -> Word:
        """What a market is created for: SHA-256 of all but the start."""
        return hashlib.sha256(self._what_is_done).digest()

    @property
    def _what_is_done(self) -> bytes:
        return self.programs + word(self.depth) + word(self.size) + word(self.height)


def depth_of_words(num_sellers: int) -> int:
    """Depth of the tree of the words of a content: the least that has room for 2 + N."""
    return (num_sellers + 1).bit_length()


class JobWork(NamedTuple):
    """All units of a job: programs of one length over one memory."""

    start: tuple[int, ...]  # the memory before the first unit
    programs: tuple[tuple[Step, ...], ...]  # of every round, and of the verification

    @property
    def plan(self) -> Plan:
        """What the buyer's model is the digest of."""
        tree, memory = _tree_of(self.programs), Memory(self.start).tree
        depth = self.unit(0, self.start).depth
        return Plan(memory.root, tree.root, depth, memory.depth, tree.depth)

    def unit(self, index: int, memory: Sequence[int]) -> Work:
        """The work of a unit that begins with a memory."""
        return Work(tuple(memory), self.programs[index])

    def branch(self, index: int) -> list[Word]:
        """Siblings of the program of a unit."""
        return _tree_of(self.programs).proof(index)

    def program(self, index: int) -> Word:
        """Root of the program of a unit."""
        return _tree_of(self.programs).leaves[index]


@functools.lru_cache(maxsize=8)
def _tree_of(programs: tuple[tuple[Step, ...], ...]) -> Tree:
    """Of the programs of all units, filled up with empty words to 2, 4, 8 ..."""
    roots = [Work((0,), program).program_tree.root for program in programs]
    size = max(2, 1 << (len(roots) - 1).bit_length())
    return Tree([*roots, *[bytes(32)] * (size - len(roots))])


class Sizes(NamedTuple):
    """Of the memory of a job of plain rounds."""

    num_sellers: int  # N
    num_updates: int  # S, that a round uses
    num_parameters: int  # D
    num_examples: int = 1  # E, by which the model is judged

    @property
    def updates(self) -> int:
        """Where they begin: S rows of D words, behind the content."""
        return 2 ** depth_of_words(self.num_sellers)

    @property
    def model(self) -> int:
        """Where the model begins; the aggregate comes after it."""
        return self.updates + self.num_updates * self.num_parameters

    @property
    def answers(self) -> int:
        """Where the answers to the examples begin; the labels come after them."""
        return self.model + 2 * self.num_parameters

    @property
    def end(self) -> int:
        """Words in all; the last one counts right answers."""
        return self.answers + 2 * self.num_examples + 1


def job_work(sizes: Sizes, theta: Sequence[int], rates: Sequence[int], trim: int = 0) -> JobWork:
    """R plain rounds and the verification, with steps for the pool where floats come in.

    A round: the pool's steps write what each seller has delivered, the defence's verdicts and the
    metric if it was measured; then coordinate by coordinate theta_j <- theta_j - rate * (mean of
    u_sj without the `trim` smallest and largest). The verification: the pool's steps write answers
    and labels, weights and the first metric; right answers are counted, metric = 10000 right / E.

    Args:
        sizes: of the memory.
        theta: [D] the model before, in multiples of 2^-16.
        rates: [R] of the server, in multiples of 2^-16.
        trim: rows left out at each end.

    Raises:
        ValueError: more updates than a step may read, or none left.
    """
    num, dim = sizes.num_updates, sizes.num_parameters
    if not 2 * trim < num <= MAX_READS:
        raise ValueError(f"a step reads 1 to {MAX_READS} updates; {num} with trim {trim} are not")
    told = [Step(Op.POOL, at) for at in (METRIC, *range(SELLERS, SELLERS + sizes.num_sellers))]
    loads = [Step(Op.POOL, sizes.updates + i) for i in range(num * dim)]
    programs = [[*told, *loads, *_server(sizes, rate, trim)] for rate in rates]
    programs.append(_verification(sizes))
    length = 2 ** max(map(len, programs)).bit_length() - 1
    halts = [[Step(Op.HALT)] * (length - len(program)) for program in programs]
    memory = [0] * sizes.end
    memory[sizes.model : sizes.model + dim] = theta
    full = tuple(tuple(x + y) for x, y in zip(programs, halts))
    return JobWork(tuple(memory), full)


def _server(sizes: Sizes, rate: int, trim: int) -> list[Step]:
    num, dim, model = sizes.num_updates, sizes.num_parameters, sizes.model
    steps = []
    for j in range(dim):
        mean = model + dim + j
        first = sizes.updates + j
        steps += [
            Step(Op.TRIMMED_MEAN, mean, start=first, stride=dim, size=num, a=trim),
            Step(Op.AXPY, model + j, start=mean, size=1, a=ONE, b=-rate),
        ]
    return steps


def _verification(sizes: Sizes) -> list[Step]:
    told = [Step(Op.POOL, at) for at in range(BASE, SELLERS + sizes.num_sellers)]
    answers, count, num = sizes.answers, sizes.end - 1, sizes.num_examples
    said = [Step(Op.POOL, answers + i) for i in range(2 * num)]
    counts = []
    for at in range(0, num, MAX_READS // 2):
        size = min(MAX_READS // 2, num - at)
        one, two = answers + at, answers + num + at
        counts.append(Step(Op.COUNT, count, start=one, size=size, start2=two, size2=size))
    share = round(10_000 * ONE / num)
    metric = Step(Op.AXPY, METRIC, start=count, size=1, a=0, b=share)
    return [*told, *said, *counts, metric]


def run_unit(
    job: JobWork, index: int, memory: Sequence[int], told: Mapping[int, int], **lie: int
) -> Run:
    """Does a unit.

    Args:
        job: its work.
        index: of the unit.
        memory: with which it begins.
        told: place -> number that a step for the pool writes there.
        lie: `at` and `number`: what is written in that step in place of what it says.
    """
    work = job.unit(index, memory)
    pool = {i: told.get(s.into, 0) for i, s in enumerate(work.program) if s.op == Op.POOL}
    return run(work, pool | ({lie["at"]: lie["number"]} if lie else {}))


def words_of(memory: Memory, num_sellers: int) -> list[int]:
    """[2 + N] the words of the content: metric, first metric, a number per seller."""
    return memory.values[: SELLERS + num_sellers]


def siblings(memory: Memory, num_sellers: int) -> list[Word]:
    """Of the words of the content, taken together, in the tree of the memory."""
    return memory.tree.proof(0)[depth_of_words(num_sellers) :]
