"""A run that can be killed at any moment, and goes on bit for bit. Host only.

    saved = restore(folder, digest, like_state, like_piece)
    collect(..., state=saved.state, pieces=saved.pieces, on_chunk=[Checkpoint(folder, digest)])

orbax writes every checkpoint aside and renames it, so the folder holds whole ones only; the newest
two are kept. It is given bytes, and what they are stands beside them: type and shape of every
array, of a key the name of its generator. So nothing depends on what orbax can hold (arrays of
size zero, keys, numpy types, empty tuples), and a full disk is one error and not one per array.
One process writes; the state comes back on the default device.
"""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from d2m_jax.core.files import RESUME, StorageError, given_path
from d2m_jax.core.types import PyTree
from d2m_jax.market.collect import Chunk
from d2m_jax.report.folder import CHECKPOINTS

KEPT = 2
PAUSE = 10.0  # seconds between checkpoints, where no number of rounds is given
ITEMS = ("about", "arrays")
GROUP = 2**26  # bytes of small arrays that are stored as one
FAILURES = (OSError, ValueError, KeyError, TypeError)  # of a checkpoint that is damaged


class Saved(NamedTuple):
    """What a run goes on from."""

    done: int  # rounds
    state: PyTree
    pieces: list[PyTree]


class Checkpoint:
    """Saves a run as it goes; an `on_chunk` of `collect`.

    Args:
        folder: of the results.
        digest: of the configuration, `folder.tree_digest`; nobody else goes on from here.
        every: rounds between checkpoints, at least, the last round always saved; 0: after every
            chunk; None: whenever `PAUSE` seconds have passed, so that a short run writes none.
            A checkpoint costs about 0.15 s and the size of the state, the first one 1.5 s.
    """

    def __init__(self, folder: str | pathlib.Path, digest: str, every: int | None = 0):
        self.folder, self.digest, self.every = given_path(folder), digest, every
        self.last, self.since = 0, time.monotonic()

    def __call__(self, chunk: Chunk) -> None:
        """Saves the state, if it is time.

        Raises:
            StorageError: the disk is full; the last whole checkpoint is there.
        """
        if self._is_due(chunk):
            save(self.folder, self.digest, chunk.done, chunk.state, chunk.pieces)
            self.last, self.since = chunk.done, time.monotonic()

    def _is_due(self, chunk: Chunk) -> bool:
        if self.every is None:
            return time.monotonic() - self.since >= PAUSE
        return chunk.done - self.last >= self.every or chunk.done >= chunk.total


def save(
    folder: str | pathlib.Path, digest: str, done: int, state: PyTree, pieces: Sequence[PyTree]
) -> None:
    """Adds a checkpoint and removes all but the newest two.

    Args:
        folder: of the results.
        digest: of the configuration.
        done: rounds.
        state: any pytree of arrays, keys and numbers.
        pieces: trees of the same structure.

    Raises:
        StorageError: the disk is full, or the folder is gone.
    """
    leaves, kinds = _pack(state)
    parts, shapes = _pack_pieces(pieces)
    about = {"digest": digest, "done": done, "state": kinds, "pieces": shapes}
    try:
        with _manager(folder, cleanup_tmp_directories=True) as (manager, args):
            if done in manager.all_steps():
                manager.delete(done)
            manager.save(
                done,
                args=args.Composite(
                    about=args.JsonSave(about),
                    arrays=args.StandardSave(_groups([*leaves, *parts])),
                ),
            )
    except (OSError, ValueError) as error:
        for torn in (given_path(folder) / CHECKPOINTS).glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(torn, ignore_errors=True)
        raise StorageError(
            f"a checkpoint cannot be written to {folder} ({_reason(error)}); the one before is "
            f"whole: make room, and {RESUME}"
        ) from error


def restore(
    folder: str | pathlib.Path, digest: str, like_state: PyTree, like_piece: PyTree
) -> Saved | None:
    """The newest whole checkpoint, bit for bit; None when there is none.

    Args:
        folder: of the results.
        digest: of the configuration that is to go on.
        like_state: a tree like the state, of arrays or of `jax.eval_shape`.
        like_piece: a tree like one piece.

    Raises:
        StorageError: it belongs to another configuration, its arrays have other shapes, or no
            checkpoint that is there can be read.
    """
    folder, reason = given_path(folder), ""
    if not (folder / CHECKPOINTS).is_dir():
        return None
    with _manager(folder) as (manager, args):
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                about = manager.restore(step, args=args.Composite(about=args.JsonRestore()))
                arrays = manager.restore(step, args=args.Composite(arrays=args.StandardRestore()))
            except FAILURES as error:
                reason = reason or _reason(error)
                continue
            return _unpack(folder, digest, about["about"], arrays["arrays"], like_state, like_piece)
    if reason:
        raise StorageError(
            f"no checkpoint in {folder} can be read ({reason}): remove {CHECKPOINTS}/ in it to "
            "begin anew"
        )
    return None


@contextlib.contextmanager
def _manager(folder: str | pathlib.Path, **choices: Any) -> Iterator[tuple[Any, Any]]:
    """The checkpoints of a folder, and `ocp.args`; the log of orbax is off, errors are raised."""
    import orbax.checkpoint as ocp  # slow to import

    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEPT, create=True, enable_async_checkpointing=False, **choices
    )
    path, verbosity = (given_path(folder) / CHECKPOINTS).absolute(), logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    try:
        with ocp.CheckpointManager(path, options=options, item_names=ITEMS) as manager:
            yield manager, ocp.args
    finally:
        logging.set_verbosity(verbosity)


def _reason(error: BaseException) -> str:
    """An error of orbax in a few words: that of the operating system, if it was one."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if number:
        return os.strerror(int(number[1]))
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def _unpack(
    folder: pathlib.Path,
    digest: str,
    about: dict[str, Any],
    arrays: dict[str, np.ndarray],
    like_state: PyTree,
    like_piece: PyTree,
) -> Saved:
    """The trees of a checkpoint that could be read."""
    if about["digest"] != digest:
        raise StorageError(
            f"the checkpoint in {folder} belongs to another configuration: choose another folder"
        )
    kinds = about["state"]
    lengths = [_size(kind["dtype"], [kind["shape"]]) for kind in kinds]
    lengths += [_size(kind["dtype"], kind["shapes"]) for kind in about["pieces"]]
    rows = _cut(arrays, lengths)
    leaves = [_leaf(kind, row) for kind, row in zip(kinds, rows)]
    _compare(folder, like_state, leaves)
    if about["pieces"] and len(about["pieces"]) != len(jax.tree.leaves(like_piece)):
        raise StorageError(
            f"the checkpoint in {folder} saw other facts of a round: it was made by other code, so "
            "begin in another folder"
        )
    state = jax.tree.unflatten(jax.tree.structure(like_state), leaves)
    pieces = _unpack_pieces(about["pieces"], rows[len(kinds) :], like_piece)
    return Saved(about["done"], state, pieces)


def _size(dtype: str, shapes: list[list[int]]) -> int:
    """Bytes of some arrays of one type."""
    return jnp.dtype(dtype).itemsize * sum(int(np.prod(shape)) for shape in shapes)


def _compare(folder: pathlib.Path, like: PyTree, leaves: list[Any]) -> None:
    """Refuses leaves that do not fit the tree they are for."""
    wanted = jax.tree_util.tree_flatten_with_path(like)[0]
    if len(wanted) != len(leaves):
        raise StorageError(
            f"the checkpoint in {folder} has {len(leaves)} arrays, and the market has "
            f"{len(wanted)}: it was made by other code, so begin in another folder"
        )
    for (path, want), leaf in zip(wanted, leaves):
        theirs, ours = jax.typeof(leaf), jax.typeof(want) if _is_value(want) else want
        if (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
            raise StorageError(
                f"the checkpoint in {folder} has {theirs.dtype}{list(theirs.shape)} for "
                f"{jax.tree_util.keystr(path)}, and the market {ours.dtype}{list(ours.shape)}: it "
                "was made by other code, so begin in another folder"
            )


def _is_value(leaf: Any) -> bool:
    return not isinstance(leaf, jax.ShapeDtypeStruct)


def _pack(tree: PyTree) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """The bytes of every leaf, and what it is."""
    rows, kinds = [], []
    for leaf in jax.tree.leaves(tree):
        kind: dict[str, Any] = {}
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            kind["key"] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        elif isinstance(leaf, bool | int | float):
            kind["python"] = type(leaf).__name__
        array = np.asarray(leaf)
        kinds.append({**kind, "dtype": array.dtype.name, "shape": list(array.shape)})
        rows.append(_bytes(array))
    return rows, kinds


def _pack_pieces(pieces: Sequence[PyTree]) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """The bytes of every leaf of all pieces on end, and the shapes it has in them."""
    rows, kinds = [], []
    for leaves in zip(*(jax.tree.leaves(piece) for piece in pieces)):
        parts = [np.asarray(leaf) for leaf in leaves]
        kinds.append({"dtype": parts[0].dtype.name, "shapes": [list(p.shape) for p in parts]})
        rows.append(np.concatenate([_bytes(part) for part in parts]))
    return rows, kinds


def _bytes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _groups(rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of bytes on end, in a few arrays; a large row is not copied."""
    groups: list[list[np.ndarray]] = [[np.zeros(1, np.uint8)]]  # orbax holds nothing empty
    for row in rows:
        if sum(map(len, groups[-1])) + len(row) > GROUP:
            groups.append([])
        groups[-1].append(row)
    joined = [group[0] if len(group) == 1 else np.concatenate(group) for group in groups]
    return {f"{index:06d}": row for index, row in enumerate(joined) if len(row)}


def _cut(groups: dict[str, np.ndarray], lengths: list[int]) -> list[np.ndarray]:
    """The rows of bytes, by their lengths."""
    whole = np.concatenate([np.asarray(groups[name]) for name in sorted(groups)])
    ends = list(itertools.accumulate(lengths, initial=1))
    return [whole[start:end] for start, end in itertools.pairwise(ends)]


def _leaf(kind: dict[str, Any], row: np.ndarray) -> Any:
    """One leaf as it was; arrays are copies, which a program may be given for good."""
    array = np.frombuffer(row.tobytes(), jnp.dtype(kind["dtype"])).reshape(kind["shape"])
    if "python" in kind:
        return array.item()
    if "key" in kind:
        return jax.random.wrap_key_data(jnp.array(array), impl=kind["key"])
    return jnp.array(array)


def _unpack_pieces(
    kinds: list[dict[str, Any]], rows: list[np.ndarray], like: PyTree
) -> list[PyTree]:
    """The pieces, as numpy arrays."""
    columns = []
    for kind, row in zip(kinds, rows):
        flat = np.frombuffer(row.tobytes(), jnp.dtype(kind["dtype"])).copy()
        ends = itertools.accumulate(int(np.prod(shape)) for shape in kind["shapes"])
        parts = np.split(flat, list(ends)[:-1])
        columns.append([part.reshape(shape) for part, shape in zip(parts, kind["shapes"])])
    structure = jax.tree.structure(like)
    return [jax.tree.unflatten(structure, leaves) for leaves in zip(*columns)]
