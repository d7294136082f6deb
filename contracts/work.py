"""Work for the market's court: the plan of a job, and which memory says what a content does.

A buyer's model is the digest of a `Plan`; the content of a unit is what the first words of the
memory after it say (`words_of_content`). For the numbers of the functional ledger, which has no
memories, there are the smallest works that can be: `plan_of`, `claim_of`. Read first:
`d2m_jax/court/tree.py`; next: `market.py`.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from d2m_jax.court.plans import HARM, Plan, depth_of_words
from d2m_jax.court.tree import Tree, Word, word

HEAD = 5  # of a functional content: metric, first metric, model, metric's digest, work


class Claimed(NamedTuple):
    """A claim on a unit, as far as the market asks about it."""

    tree: Tree  # of the checkpoints
    memory: Tree  # after the last one
    words: int  # depth of the tree of those that say what the content does

    @property
    def siblings(self) -> list[Word]:
        """Of those words, taken together."""
        return self.memory.proof(0)[self.words :]

    @property
    def last(self) -> list[Word]:
        """Of the last checkpoint."""
        return self.tree.proof(len(self.tree.leaves) - 1)


def words_of_content(content: Sequence[int], is_verification: bool) -> list[int]:
    """[2^k]: metric, first metric, a verdict (or a weight, and harm in bit 16) per seller, zeros.

    Args:
        content: [2 N + 5], see `ledger/contents.py`.
        is_verification: which of the two kinds.
    """
    numbers = [int(x) for x in content]
    size = (len(numbers) - HEAD) // 2
    said, harm = numbers[HEAD : HEAD + size], numbers[HEAD + size :]
    if is_verification:
        said = [weight + HARM * mark for weight, mark in zip(said, harm)]
    words = [*numbers[:2], *said]
    return words + [0] * (2 ** depth_of_words(size) - len(words))


def plan_of(number: int, num_sellers: int) -> Plan:
    """The plan that a functional digest of a model stands for: one step, the same in all units."""
    start = hashlib.sha256(b"start %d" % number).digest()
    return Plan(start, hashlib.sha256(b"steps").digest(), 1, depth_of_words(num_sellers))


def claim_of(content: Sequence[int], is_verification: bool) -> Claimed:
    """The claim that a functional content stands for: its work (of a round: its model) is any word,
    then comes the memory that says what the content does."""
    words = words_of_content(content, is_verification)
    memory = Tree([word(x) for x in words])
    named = [int(x) for x in content[2:HEAD]]
    first = hashlib.sha256(b"work %d %d %d" % tuple(named)).digest()
    return Claimed(Tree([first, memory.root]), memory, memory.depth)
