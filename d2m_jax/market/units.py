"""Bonded units: holdings cut into pieces of one size, each a listing with a root of its own.

Host side, numpy. What the market sees as its sellers is then units, whoever owns them: nothing that
draws, clips, remembers, judges or pays reads the owners, and the slot of a unit follows from what
it holds. So who splits its data among accounts gains nothing, and loses what is left over of each
part. Read next: `openings.py`, which looks for units that are not what they say.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.types import Batch
from d2m_jax.court.tree import Tree, Word
from d2m_jax.data import FederatedData, Units, seller_rows

NOBODY = -1  # owns an empty slot
_ABSENT: Word = bytes(32)  # fills a tree up to a power of two


class Piece(NamedTuple):
    """One unit as its owner lists it."""

    owner: int  # account
    rows: np.ndarray  # [unit_size] of the pool
    listed: int = 0  # when; earlier ones come first


def unit_size_of(data: FederatedData, num_units: int, unit_size: int = 0) -> int:
    """Examples of a unit: as given, or the least with which all that is held fits the slots.

    It depends on how much all sellers hold together, not on who holds it.
    """
    return unit_size or max(1, -(-int(np.asarray(data.sizes).sum()) // num_units))


def cut(data: FederatedData, num_units: int, unit_size: int = 0) -> FederatedData:
    """The same data, held as bonded units in place of accounts.

    Every seller cuts what it holds, in the order of the digests of its examples, into pieces of
    `unit_size`; what is left over it does not sell.

    Args:
        data: dealt to accounts.
        num_units: slots, N of the market.
        unit_size: examples of a unit; 0: see `unit_size_of`.

    Returns:
        Data of `num_units` listings of equal size (0 where a slot is empty), with `units`.

    Raises:
        ValueError: more units than slots, or none at all.
    """
    size = unit_size_of(data, num_units, unit_size)
    digests = leaves_of(data.pool)
    held = [sorted(rows.tolist(), key=digests.__getitem__) for rows in seller_rows(data)]
    pieces = [
        Piece(owner, np.asarray(rows[place : place + size]))
        for owner, rows in enumerate(held)
        for place in range(0, len(rows) - size + 1, size)
    ]
    if not pieces:
        raise ValueError(
            f"no seller holds data.unit_size = {size} examples, the largest has "
            f"{max(map(len, held))}: lower it, or raise spec.num_units"
        )
    if len(pieces) > num_units:
        raise ValueError(
            f"the sellers hold {len(pieces)} units of {size} examples and spec.num_units = "
            f"{num_units}: raise it or data.unit_size"
        )
    return listed(data, pieces, num_units, digests, len(held))


def listed(
    data: FederatedData,
    pieces: Sequence[Piece],
    num_units: int,
    digests: Sequence[Word] | None = None,
    num_owners: int = 0,
) -> FederatedData:
    """The data held as these units, in the order of their listing and, within one time, of roots.

    Args:
        data: whose pool they are rows of.
        pieces: all of one size, at most `num_units`.
        num_units: slots; those that nobody fills hold nothing and are never matched.
        digests: of all rows of the pool, to save time.
        num_owners: accounts, those that list nothing too; 0: up to the last one that does.

    Raises:
        ValueError: more units than slots.
    """
    if len(pieces) > num_units:
        raise ValueError(
            f"the sellers list {len(pieces)} units and spec.num_units = {num_units}: raise it"
        )
    known = leaves_of(data.pool) if digests is None else digests
    roots = [root_of([known[row] for row in piece.rows]) for piece in pieces]
    order = sorted(range(len(pieces)), key=lambda i: (pieces[i].listed, roots[i]))
    size, count = len(pieces[0].rows), len(pieces)
    rows = np.zeros((num_units, size), np.int32)
    rows[:count] = [pieces[i].rows for i in order]
    owners = np.full(num_units, NOBODY, np.int32)
    owners[:count] = [pieces[i].owner for i in order]
    commitments = np.zeros(num_units, np.int32)
    commitments[:count] = [int.from_bytes(roots[i][:4], "big") >> 1 for i in order]
    filled = np.arange(num_units) < count
    named = max(num_owners, int(owners.max()) + 1)
    made = dict(
        rows=rows.reshape(-1),
        starts=np.arange(num_units, dtype=np.int32) * size,
        sizes=np.where(filled, size, 0).astype(np.int32),
        units=Units(jnp.asarray(owners), jnp.asarray(commitments), jnp.int32(named)),
    )
    held: FederatedData = data.replace(**jax.device_put(made))
    return held


def leaves_of(pool: Batch) -> list[Word]:
    """The digest of every example: SHA-256 of the bytes of its arrays.

    A seller that wants to hide its data puts a salt of its own before them; nothing here needs it.
    """
    arrays = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(jax.device_get(pool))]
    return [
        sha256(b"".join(array[row].tobytes() for array in arrays)).digest()
        for row in range(len(arrays[0]))
    ]


def tree_of(leaves: Sequence[Word]) -> Tree:
    """The Merkle tree over the examples of a unit; it has 2, 4, 8 ... places."""
    places = max(2, 1 << (len(leaves) - 1).bit_length())
    return Tree([*leaves, *[_ABSENT] * (places - len(leaves))])


def root_of(leaves: Sequence[Word]) -> Word:
    """What a unit commits to."""
    return tree_of(leaves).root


def owner_sums(values: np.ndarray, owners: np.ndarray, num_owners: int) -> np.ndarray:
    """[O] what the units of each owner have together; of empty slots nobody has anything."""
    mine = owners >= 0
    return np.bincount(owners[mine], weights=values[mine], minlength=num_owners)[:num_owners]


def is_cut(data: FederatedData) -> bool:
    """Whether the listings of the data are bonded units."""
    return data.units is not None


def unit_size(data: FederatedData) -> int:
    """Static: examples of a unit; also of traced data."""
    return data.rows.shape[-1] // data.sizes.shape[-1]
