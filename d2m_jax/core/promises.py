"""Parts held to what they promise, by shape, while a program is traced; it costs nothing later.

    rule = checked(rule, "aggregator 'mine'", lambda updates, f, **_: floats(updates.shape[1]))

A promise is one of `floats`, `integers`, `booleans`, `anything`, a `Like`, or a tuple or record of
promises. Not here: who promises what; that stands where parts are resolved.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.types import PyTree

F = TypeVar("F", bound=Callable[..., Any])


class Broken(ValueError):
    """A part that breaks its promise; the message is one sentence with its name."""


class Array(NamedTuple):
    """An array; None stands for an axis of any length."""

    shape: tuple[int | None, ...]
    kind: Any = jnp.floating
    word: str = "floating numbers"


class Like(NamedTuple):
    """A tree of the same structure, shapes and dtypes as another one."""

    tree: PyTree
    word: str = "a state like the one it is given"


class Anything(NamedTuple):
    """What is not looked at."""

    word: str = "anything"


anything: Any = Anything()


def floats(*shape: int | None) -> Any:
    """The promise of floating numbers."""
    return Array(shape)


def integers(*shape: int | None) -> Any:
    """The promise of integers."""
    return Array(shape, jnp.integer, "integers")


def booleans(*shape: int | None) -> Any:
    """The promise of booleans."""
    return Array(shape, jnp.bool_, "booleans")


def numbers(*shape: int | None) -> Any:
    """The promise of numbers of any sort."""
    return Array(shape, None, "numbers")


def checked(fn: F, what: str, promise: Callable[..., Any]) -> F:
    """The same function, which says in one sentence where it breaks its promise.

    Args:
        fn: the part.
        what: it is called in the sentence, such as "aggregator 'mine'".
        promise: what the result must be for these arguments.
    """

    @functools.wraps(fn)
    def call(*args: Any, **given: Any) -> Any:
        check_call(what, fn, *args, **given)
        return kept(what, fn(*args, **given), promise(*args, **given))

    return call  # type: ignore[return-value]


def check_call(what: str, fn: Callable[..., Any], *args: Any, **given: Any) -> None:
    """Raises `Broken` for a function that does not take these arguments."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # a built-in without one
        return
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        keywords = "".join(f", {name}=" for name in given)
        raise Broken(
            f"{what} is called with {len(args)} arguments{keywords}, which it does not take: "
            f"{error}"
        ) from None


def kept(what: str, found: Any, promise: Any) -> Any:
    """What was found, its arrays as arrays, if that is what was promised.

    Raises:
        Broken: it is not; one sentence.
    """
    good, result = _matched(found, promise)
    if not good:
        raise Broken(f"{what} must give {_wanted(promise)}, not {_seen(found, promise)}")
    return result


def _matched(found: Any, promise: Any) -> tuple[bool, Any]:
    if isinstance(promise, Anything):
        return True, found
    if isinstance(promise, Like):
        return _leaves(found) == _leaves(promise.tree), found
    if isinstance(promise, Array):
        array = _array(found)
        return array is not None and _fits(array, promise), array
    record = hasattr(promise, "_fields")
    if not isinstance(found, type(promise) if record else tuple | list):
        return False, found
    if len(found) != len(promise):
        return False, found
    pairs = [_matched(part, one) for part, one in zip(found, promise)]
    parts = [part for _, part in pairs]
    return all(good for good, _ in pairs), type(promise)(*parts) if record else tuple(parts)


def _fits(array: jax.Array, promise: Array) -> bool:
    same = len(array.shape) == len(promise.shape) and all(
        wanted in (None, size) for size, wanted in zip(array.shape, promise.shape)
    )
    return same and (promise.kind is None or bool(jnp.issubdtype(array.dtype, promise.kind)))


def _array(found: Any) -> jax.Array | None:
    if not isinstance(found, jax.Array | np.ndarray | np.generic | bool | int | float | list):
        return None
    try:
        return jnp.asarray(found)
    except (TypeError, ValueError):  # a list of no numbers
        return None


def _leaves(tree: PyTree) -> Any:
    """Structure, shapes and dtypes of a tree, as they are compared."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(np.shape(leaf), str(jnp.result_type(leaf))) for leaf in leaves]


def _wanted(promise: Any) -> str:
    if isinstance(promise, Array):
        sizes = ", ".join("any" if size is None else str(size) for size in promise.shape)
        comma = "," if len(promise.shape) == 1 else ""
        return f"{promise.word} of shape ({sizes}{comma})"
    if isinstance(promise, Like | Anything):
        return promise.word
    if hasattr(promise, "_fields"):
        fields = ", ".join(f"{name}: {_wanted(one)}" for name, one in zip(promise._fields, promise))
        return f"{type(promise).__name__}({fields})"
    return f"{len(promise)} results ({'; '.join(map(_wanted, promise))})"


def _seen(found: Any, promise: Any) -> str:
    """What was found, in the words of what was promised: only the first part that is wrong."""
    if isinstance(promise, tuple) and not isinstance(promise, Array | Like | Anything):
        record = hasattr(promise, "_fields")
        if isinstance(found, type(promise) if record else tuple | list):
            if len(found) != len(promise):
                return f"{len(found)} results"
            names = getattr(promise, "_fields", range(1, len(promise) + 1))
            for name, part, one in zip(names, found, promise):
                if not _matched(part, one)[0]:
                    where = name if record else f"result {name}"
                    return f"{_seen(part, one)} as {where}"
    if isinstance(promise, Like):
        return _difference(found, promise.tree)
    array = _array(found)
    if array is not None and (isinstance(promise, Array) or isinstance(found, jax.Array)):
        return f"{array.dtype} of shape {array.shape}"
    return "None" if found is None else type(found).__name__


def _difference(found: PyTree, wanted: PyTree) -> str:
    """The first leaf of a tree that is not as another one's."""
    if _leaves(found)[0] != _leaves(wanted)[0]:
        return f"{type(found).__name__} of another structure"
    pairs = zip(jax.tree.leaves_with_path(found), jax.tree.leaves(wanted))
    for (path, leaf), other in pairs:
        if _leaves(leaf) != _leaves(other):
            where = jax.tree_util.keystr(path, simple=True, separator=".")
            shape, dtype = np.shape(leaf), jnp.result_type(leaf)
            return f"{dtype} of shape {shape} in place of {np.shape(other)} {where}".strip()
    return "it"
