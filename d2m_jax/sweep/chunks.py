"""How many worlds at once, and which. Not here: running them (`runner.py`)."""

from typing import NamedTuple

from d2m_jax.core.backend import choices
from d2m_jax.sweep.plan import Group, Run


class Chunk(NamedTuple):
    """At most W runs that share what is chosen by index."""

    places: tuple[int, ...]  # among the group's `Picks`
    runs: list[Run]


def first_width(
    num_sampled: int, num_params: int, largest_cell: int, backend: str | None = None
) -> int:
    """W, a power of two: as many worlds as pay, and no more than there are runs in a cell.

    On a CPU the updates of all worlds [W, S, D] should stay in the cache; elsewhere memory is the
    bound.

    Args:
        num_sampled: S.
        num_params: D.
        largest_cell: runs of a cell of the plan, at most.
        backend: as in `backend.choices`.
    """
    chosen = choices(backend)
    world = 4 * num_sampled * num_params
    width = min(max(chosen.chunk_bytes // world, 1), chosen.chunk_worlds)
    enough = 1 << (largest_cell - 1).bit_length()
    return min(1 << (width.bit_length() - 1), enough)


def make_chunks(group: Group, width: int) -> list[Chunk]:
    """The runs cut into chunks of at most `width`, cell by cell, each cell in the order of keys."""
    chunks = []
    for pick, runs in group.cells.items():
        places = group.picks.places(pick)
        for start in range(0, len(runs), width):
            chunks.append(Chunk(places, runs[start : start + width]))
    return chunks


def padded(chunk: Chunk, width: int) -> list[Run]:
    """Exactly `width` runs, the last one repeated."""
    return chunk.runs + [chunk.runs[-1]] * (width - len(chunk.runs))
