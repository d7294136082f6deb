"""The profiles of whole markets that an audit compares: who deviates, how, in which world. Host.

A cell is one row of a table, played in every world; the same world has the same deviator and the
same others in all cells. Not here: playing them (`deviations.market_game`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from d2m_jax.audit.deviations import Play
from d2m_jax.audit.strategies import HONEST, LEAD
from d2m_jax.ledger.rules import BPS

OTHERS = ("honest", "random")
FREE = ", no deposit"  # ends the label of a cell without deposits


class Cell(NamedTuple):
    """One strategy of a role given honest or random others."""

    label: str  # of the row
    others: str  # one of OTHERS
    plays: list[Play]  # one per world
    lead: str = "honest"  # what the sellers of code LEAD do


def changed(play: Play, **arrays: Any) -> Play:
    """A profile with some of its arrays replaced by arrays of the host."""
    return play._replace(**arrays)


class Worlds:
    """Who may deviate in each world, and what the others do there.

    Args:
        base: everybody is honest; arrays of the host.
        me: [K] the deviator of each world; a coalition is it and those after it, round the circle.
        wild: [K, N] codes of the others where they play at random.
    """

    def __init__(self, base: Play, me: np.ndarray, wild: np.ndarray):
        self.base, self.me, self.wild = base, me, wild

    def members(self, k: int, size: int = 1) -> np.ndarray:
        """The first `size` of those who deviate together in world k."""
        return (self.me[k] + np.arange(size)) % self.wild.shape[1]

    def crowd(self, k: int, others: str) -> np.ndarray:
        """[N] codes of all sellers before anybody deviates."""
        return self.wild[k] if others == "random" else np.zeros_like(self.wild[k])

    def deviate(self, k: int, others: str, code: int, size: int = 1) -> Play:
        """In world k a coalition has this code."""
        sellers = self.crowd(k, others).copy()
        sellers[self.members(k, size)] = code
        return changed(self.base, sellers=sellers)

    def each(self, make: Callable[[int], Play]) -> list[Play]:
        """One profile per world."""
        return [make(k) for k in range(len(self.me))]


def seller_cells(
    worlds: Worlds, names: Sequence[str], size: int = 1, kinds: Sequence[str] = OTHERS
) -> list[Cell]:
    """Honest work and each of the named strategies, played by one seller or by several together."""
    return [
        Cell(
            name, others, worlds.each(partial(worlds.deviate, others=others, code=code, size=size)),
            name,
        )
        for others in kinds
        for name, code in (("honest", HONEST), *((name, LEAD) for name in names))
    ]  # fmt: skip


def claim_cells(worlds: Worlds, factor: int) -> list[Cell]:
    """One seller does honest work and claims `factor` times its size."""

    def claims(k: int, others: str) -> Play:
        lie = np.full(worlds.wild.shape[1], BPS, np.int32)
        lie[worlds.me[k]] = factor * BPS
        return changed(worlds.deviate(k, others, LEAD), size_lie_bps=lie)

    label = f"claims {factor}x its size"
    return [
        Cell(label, others, worlds.each(partial(claims, others=others)), "false_size")
        for others in OTHERS
    ]


def account_cells(worlds: Worlds) -> list[Cell]:
    """The deviator owns the next account too: uses one, splits its data, or copies them."""

    def sybil(k: int, others: str, how: str) -> Play:
        base, (first, second) = worlds.base, worlds.members(k, 2)
        size, begin = int(base.sizes[first]), int(base.starts[first])
        used = {
            "one account": (size, 0),
            "split in two": (size // 2, size - size // 2),
            "copied data": (size, size),
        }[how]
        starts, sizes = base.starts.copy(), base.sizes.copy()
        starts[second] = begin + used[0] if how == "split in two" else begin
        sizes[[first, second]] = used
        return changed(worlds.deviate(k, others, HONEST, size=2), starts=starts, sizes=sizes)

    return [
        Cell(how, others, worlds.each(partial(sybil, others=others, how=how)))
        for others in OTHERS
        for how in ("one account", "split in two", "copied data")
    ]


def tag_cells(worlds: Worlds) -> list[Cell]:
    """The deviator's data are of another kind: it says so and is not matched, or lies about it."""

    def stranger(k: int, others: str, lies: bool) -> Play:
        is_me = np.arange(worlds.wild.shape[1]) == worlds.me[k]
        return changed(
            worlds.deviate(k, others, HONEST), tag_liars=is_me & lies, strangers=is_me & (not lies)
        )

    return [
        Cell(label, others, worlds.each(partial(stranger, others=others, lies=lies)))
        for others in OTHERS
        for label, lies in (("other data, says so", False), ("other data, tag lie", True))
    ]


def buyer_cells(worlds: Worlds) -> list[Cell]:
    """The winner misuses the verification."""
    changes: dict[str, dict[str, Any]] = {
        "honest": {},
        "false dispute": {"false_dispute": np.float32(1)},
        "withheld metric": {"withheld": np.float32(1)},
        "mislabelled verdict examples": {"wrong_labels": np.int32(1)},
    }

    def misuse(k: int, others: str, change: dict[str, Any]) -> Play:
        return changed(worlds.base, sellers=worlds.crowd(k, others), **change)

    return [
        Cell(label, others, worlds.each(partial(misuse, others=others, change=change)))
        for others in OTHERS
        for label, change in changes.items()
    ]


def deposit_cells(worlds: Worlds, name: str) -> list[Cell]:
    """Honest work and one strategy, with the deposit of the rules and with none."""
    cells = seller_cells(worlds, [name], kinds=["honest"])
    free = [[changed(play, deposit=np.int32(0)) for play in cell.plays] for cell in cells]
    return cells + [
        cell._replace(label=cell.label + FREE, plays=plays) for cell, plays in zip(cells, free)
    ]
