"""Programs that are traced once: the next process reads StableHLO in place of Python's work.

JAX's cache keeps what XLA made of a program, but to ask for it a process must trace and lower the
program again. Here the lowered program is kept beside that cache, under a hash of all that it was
made of. What is missing, damaged or of another version is traced. Who can write to the folder can
run code, as with JAX's cache. Used by `market/programs.py`.
"""

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import pathlib
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from d2m_jax.core.files import write_whole

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
FOLDER = "d2m_jax"  # inside that of JAX's cache
SHA = hashlib.sha256
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "flatbuffers")


class Shelf(NamedTuple):
    """Where the programs of one origin are kept."""

    folder: pathlib.Path
    origin: str  # hash of what they are made of, beside their arguments


def shelf_of(*origin: Any) -> Shelf | None:
    """The shelf of programs that follow from these values and from the code of this package.

    Args:
        origin: all that the programs close over, as tuples of names and numbers.

    Returns:
        None where nothing is kept: JAX has no cache folder, a value is a part of the user's own,
        whose code nobody can know in full, or the package flatbuffers is not there.
    """
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    local = folder and "://" not in folder and jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    if not local or not is_plain(origin) or not importlib.util.find_spec("flatbuffers"):
        return None
    versions = tuple(importlib.import_module(name).__version__ for name in LIBRARIES)
    settings = sorted(jax.config.values.items())
    made_of = repr((origin, versions, settings, jax.default_backend(), source()))
    return Shelf(pathlib.Path(folder) / FOLDER, SHA(made_of.encode()).hexdigest())


def is_plain(value: Any) -> bool:
    """Whether a value is known by what it prints: a name, a number, a type, or tuples of them."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, str | int | float | np.dtype)


@functools.cache
def source() -> str:
    """A hash of the code of this package."""
    state = SHA()
    for file in sorted(PACKAGE.rglob("*.py")):
        state.update(str(file.relative_to(PACKAGE)).encode() + b"\0" + file.read_bytes())
    return state.hexdigest()


def kept(shelf: Shelf | None, name: str, fn: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """A function as a program that an earlier process has traced; else it is traced, and kept.

    Args:
        shelf: of all that the function closes over; None: the function itself is returned.
        name: of the program, one for each function of a shelf.
        fn: a pure function of arrays in trees.
        args: like its arguments, arrays or `jax.ShapeDtypeStruct`s.

    Returns:
        A function for arguments of these shapes, to be jitted; the same numbers.

    Raises:
        ValueError: whatever `fn` refuses while it is traced.
    """
    if shelf is None:
        return fn
    shapes = repr((jax.tree.structure(args), [_shape(leaf) for leaf in jax.tree.leaves(args)]))
    key = SHA(f"{shelf.origin} {shapes}".encode()).hexdigest()
    path = shelf.folder / f"{name}-{key}"
    found = _read(path)
    if found is None:
        jitted = jax.jit(fn)
        tree = jax.tree.structure(jitted.trace(*args).out_info)
        try:
            found = _export(jitted, args), tree
        except (ValueError, NotImplementedError):  # an operation that cannot be written down
            return fn
        _write(path, *found)
    program, out = found

    def call(*args: Any) -> Any:
        return jax.tree.unflatten(out, program.call(*jax.tree.leaves(args)))

    call.__name__ = name
    return call


def _shape(leaf: Any) -> tuple[Any, ...]:
    return np.shape(leaf), str(leaf.dtype), getattr(leaf, "weak_type", False)


def _export(fn: Callable[..., Any], args: tuple[Any, ...]) -> export.Exported:
    """The program over leaves: trees are the caller's, so no node needs a way to be written."""
    leaves, tree = jax.tree.flatten(args)
    return export.export(
        jax.jit(lambda *leaves: jax.tree.leaves(fn(*jax.tree.unflatten(tree, leaves))))
    )(*leaves)


def _write(path: pathlib.Path, program: export.Exported, out: Any) -> None:
    """Keeps a program, or leaves it: whatever stands against it, nothing is lost but time."""
    with contextlib.suppress(Exception):
        content = pickle.dumps((bytes(program.serialize()), out))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, SHA(content).digest() + content)


def _read(path: pathlib.Path) -> tuple[export.Exported, Any] | None:
    """What `_write` wrote; None if it is not there, not as it was written, or cannot be read.

    Readers of other versions raise what they like, and every program can be traced in their place.
    """
    with contextlib.suppress(Exception):
        whole = path.read_bytes()
        digest, content = whole[:32], whole[32:]
        if SHA(content).digest() == digest:
            program, out = pickle.loads(content)
            return export.deserialize(bytearray(program)), out
    return None
