"""Merkle trees of fixed depth over 32-byte words, SHA-256, on the host.

The depth is always known beforehand, so a leaf cannot be passed off as a node: no prefixes are
needed. Read next: `steps.py`.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

Word: TypeAlias = bytes  # 32 of them


def pair(left: Word, right: Word) -> Word:
    """The node above two nodes: SHA-256 of their 64 bytes."""
    return hashlib.sha256(left + right).digest()


def word(value: int) -> Word:
    """An integer in two's complement, big-endian: as the EVM writes an `int256`."""
    return (value % 2**256).to_bytes(32, "big")


def fold(leaf: Word, index: int, proof: Sequence[Word]) -> Word:
    """The root that a leaf, its place and its siblings (from the bottom) lead to."""
    for sibling in proof:
        leaf = pair(sibling, leaf) if index & 1 else pair(leaf, sibling)
        index >>= 1
    return leaf


class Tree:
    """A tree over 2^depth words, as they are after the last `set`."""

    def __init__(self, leaves: Sequence[Word]):
        if len(leaves) < 2 or len(leaves) & (len(leaves) - 1):
            raise ValueError(f"a tree has 2, 4, 8 ... leaves, not {len(leaves)}")
        self.levels = [list(leaves)]
        while len(self.levels[-1]) > 1:
            row = self.levels[-1]
            self.levels.append([pair(*row[i : i + 2]) for i in range(0, len(row), 2)])

    @property
    def depth(self) -> int:
        """Levels below the root."""
        return len(self.levels) - 1

    @property
    def root(self) -> Word:
        """The word that stands for all leaves."""
        return self.levels[-1][0]

    @property
    def leaves(self) -> list[Word]:
        """The words themselves."""
        return self.levels[0]

    def children(self, height: int, index: int) -> tuple[Word, Word]:
        """The two nodes below node `index` of the level that is `height` above the leaves."""
        below = self.levels[height - 1]
        return below[2 * index], below[2 * index + 1]

    def proof(self, index: int) -> list[Word]:
        """The siblings on the way from a leaf up to the root."""
        return [self.levels[height][index >> height ^ 1] for height in range(self.depth)]

    def set(self, index: int, leaf: Word) -> None:
        """Puts another word into a leaf and renews the nodes above it."""
        self.levels[0][index] = leaf
        for height in range(1, self.depth + 1):
            index >>= 1
            self.levels[height][index] = pair(*self.children(height, index))
