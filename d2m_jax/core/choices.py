"""Choices: a named part is a name in a registry, or the part itself with its own code and numbers.

Every registry is a plain dictionary from name to part. What a part can be told is read from its
signature: `numbers` may be traced and swept, `options` are static. Nothing is written twice.
"""

import difflib
import functools
import hashlib
import inspect
import pathlib
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np

from d2m_jax.core.types import Number

T = TypeVar("T")

INSTALLED = ("site-packages", "dist-packages")  # folders of packages
STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
# Keywords that the market fills in itself.
GIVEN = ("context", "key", "mask", "seller", "state", "view")


def lookup(registry: Mapping[str, T], name: str, what: str) -> T:
    """Returns `registry[name]`.

    Args:
        registry: the room's plain dictionary from name to part.
        name: what the user asked for.
        what: what is being chosen, for the message ("model", "attack").

    Raises:
        ValueError: the name is unknown; the message lists the valid ones and the nearest.
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(str(name), registry, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"unknown {what} {name!r}{hint}; valid names: {', '.join(sorted(registry))}")


def pick(registry: Mapping[str, T], choice: str | T, what: str) -> T:
    """The part that is chosen: the entry of that name, or `choice` itself when it is no name.

    Raises:
        ValueError: an unknown name, neither a name nor a part, or a part of one's own with the name
            of a registered one, whose numbers it would get.
    """
    if isinstance(choice, str):
        return lookup(registry, choice, what)
    if not is_own(choice):
        raise ValueError(f"{what} must be a name or a function of your own, not {choice!r}")
    namesake = registry.get(label(choice))
    if namesake is not None and _written(namesake) != _written(choice):
        raise ValueError(
            f"{what} of your own has the name of a built-in one, {label(choice)!r}: give it another"
        )
    return choice


def _written(part: Any) -> Callable[..., Any] | None:
    """The first function of a part, without what is bound to it."""
    fn = next(functions_of(part), None)
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def is_own(choice: Any) -> bool:
    """Whether a choice is a part of the user's own: a function, or a record of functions."""
    return callable(choice) or (isinstance(choice, tuple) and any(map(callable, choice)))


def label(choice: Any) -> str:
    """What a choice is called in tables, messages and configurations.

    A name is itself; a part of the user's own has its `name` if it has one, else the name of its
    function.
    """
    if isinstance(choice, str):
        return choice
    own = getattr(choice, "name", None)
    if isinstance(own, str) and own:
        return own
    for fn in functions_of(choice):
        while isinstance(fn, functools.partial):
            fn = fn.func
        return getattr(fn, "__name__", type(fn).__name__)
    return type(choice).__name__


def numbers(part: Any) -> dict[str, Number]:
    """The numbers of a part: keywords whose default is a float, or is annotated as `Number`.

    They may be traced, so one compiled program serves all their values, and a sweep may vary them.

    Args:
        part: a function, a `functools.partial` (what is bound is no number any more), or a record
            of functions, whose numbers are those of all of them.
    """
    own = getattr(type(part), "numbers", None)
    if isinstance(own, property):  # a record that knows better which of its functions count
        return dict(part.numbers)
    return {
        name: default
        for fn in functions_of(part)
        for name, default in _keywords(fn)
        if _is_number(fn, name, default)
    }


def options(part: Any) -> dict[str, Any]:
    """The static choices of a part: its other keywords that have a default."""
    return {
        name: default
        for fn in functions_of(part)
        for name, default in _keywords(fn)
        if not _is_number(fn, name, default)
    }


def taken(fn: Callable[..., Any], given: Mapping[str, T]) -> dict[str, T]:
    """Those of the given keywords that a function takes: all, if it takes any."""
    signature = _signature(fn)
    if signature is None or any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return dict(given)
    return {name: value for name, value in given.items() if name in signature.parameters}


def default_of(fn: Callable[..., Any] | None, name: str, otherwise: T) -> T:
    """What a keyword of a function is when it is not given, as bound by a `partial` if it is."""
    signature = None if fn is None else _signature(fn)
    parameter = signature.parameters.get(name) if signature else None
    if parameter is None or parameter.default is parameter.empty:
        return otherwise
    return parameter.default


def bound(part: Any, given: Mapping[str, Any]) -> Any:
    """A part with its numbers bound; of a record, each function gets those that it takes."""
    if not given:
        return part
    if isinstance(part, tuple):
        fields = (field and bound(field, taken(field, given)) if callable(field) else field
                  for field in part)  # fmt: skip
        return type(part)(*fields)
    return functools.partial(part, **given)


def digest(choice: Any) -> str:
    """A hash of a choice that changes when its code, its numbers or what it closes over change.

    A name is known by the version of the package. Code of a user's own is followed into the
    functions of the same file that it calls, not into installed packages.

    Returns:
        16 hexadecimal digits.
    """
    state = hashlib.sha256()
    for piece in _pieces(choice, {}):
        state.update(piece + b"\0")
    return state.hexdigest()[:16]


def functions_of(part: Any) -> Iterator[Callable[..., Any]]:
    """The functions that a part is made of: itself, or those of a record."""
    if isinstance(part, tuple):
        for field in part:
            if callable(field):
                yield from functions_of(field)
    elif callable(part):
        yield part


def _signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    return _kept_signature(fn) if isinstance(fn, types.FunctionType) else _read_signature(fn)


def _read_signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    for evaluate in (True, False):
        try:
            return inspect.signature(fn, eval_str=evaluate)
        except (ValueError, TypeError, NameError):  # a built-in, or a name that is not there
            continue
    return None


_kept_signature = functools.lru_cache(512)(_read_signature)  # a sweep asks for every point


def _keywords(fn: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Keywords with a default that the market does not fill in."""
    bound = fn.keywords if isinstance(fn, functools.partial) else {}
    signature = _signature(fn)
    for name, parameter in signature.parameters.items() if signature else ():
        usable = parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if usable and parameter.default is not parameter.empty and name not in (*GIVEN, *bound):
            yield name, parameter.default


def _is_number(fn: Callable[..., Any], name: str, default: Any) -> bool:
    if isinstance(default, bool) or not isinstance(default, int | float):
        return False
    signature = _signature(fn)
    annotation = signature.parameters[name].annotation if signature else None
    return isinstance(default, float) or annotation in (Number, "Number")


Seen: TypeAlias = dict[int, tuple[int, Any]]  # id -> when it was met first, and the object


def _pieces(value: Any, seen: Seen) -> Iterator[bytes]:
    """Bytes that stand for a value, code by its instructions."""
    if value is None or isinstance(value, str | int | float | bool | bytes | complex):
        yield repr(value).encode()
        return
    if id(value) in seen:
        yield f"again {seen[id(value)][0]}".encode()
        return
    seen[id(value)] = len(seen), value  # kept, for the numbers of what is gone are given again
    if isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield repr(key).encode()
            yield from _pieces(value[key], seen)
    elif isinstance(value, tuple | list | frozenset | set):
        yield type(value).__name__.encode()
        for item in sorted(value, key=repr) if isinstance(value, frozenset | set) else value:
            yield from _pieces(item, seen)
    elif isinstance(value, functools.partial):
        yield from _pieces((value.func, value.args, value.keywords), seen)
    elif isinstance(value, types.CodeType):
        yield value.co_code
        yield from _pieces((value.co_names, value.co_varnames), seen)
        yield from _pieces(value.co_consts, seen)
    elif isinstance(value, types.MethodType):
        yield from _pieces((value.__func__, value.__self__), seen)
    elif isinstance(value, types.FunctionType):
        yield from _function_pieces(value, seen)
    elif isinstance(value, types.ModuleType):
        yield from _module_pieces(value, seen)
    elif isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        yield from _pieces((str(value.dtype), jax.random.key_data(value)), seen)
    elif hasattr(value, "__array__") and not isinstance(value, type):
        array = np.asarray(value)
        yield str((array.shape, array.dtype)).encode() + array.tobytes()
    else:
        yield from _object_pieces(value, seen)


def _function_pieces(fn: types.FunctionType, seen: Seen) -> Iterator[bytes]:
    yield fn.__qualname__.encode()
    if _is_installed(fn.__module__, fn.__code__.co_filename):
        yield str(fn.__module__).encode()
        yield from _pieces((fn.__defaults__, fn.__kwdefaults__), seen)
    else:
        yield from _pieces((fn.__code__, fn.__defaults__, fn.__kwdefaults__), seen)
        for name in _names(fn.__code__):
            yield from _pieces(fn.__globals__.get(name), seen)
    for cell in fn.__closure__ or ():
        yield from _pieces(cell.cell_contents, seen)


def _module_pieces(module: types.ModuleType, seen: Seen) -> Iterator[bytes]:
    yield module.__name__.encode()
    if not _is_installed(module.__name__):
        kept = (types.FunctionType, type, str, int, float, tuple)  # no state, which runs change
        own = {k: v for k, v in vars(module).items() if isinstance(v, kept) and k[:2] != "__"}
        yield from _pieces(own, seen)


def _object_pieces(value: Any, seen: Seen) -> Iterator[bytes]:
    kind = value if isinstance(value, type) else type(value)
    yield f"{kind.__module__}.{kind.__qualname__}".encode()
    if not _is_installed(kind.__module__):
        for name, member in sorted(vars(kind).items()):
            if isinstance(member, types.FunctionType | property | staticmethod | classmethod):
                inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
                yield name.encode()
                yield from _pieces(inner, seen)
    if not isinstance(value, type):
        slots = [name for base in kind.__mro__ for name in _slots(base)]
        fields = {name: getattr(value, name, None) for name in slots}
        yield from _pieces({**fields, **_state(value)}, seen)


def _slots(kind: type) -> tuple[str, ...]:
    names = vars(kind).get("__slots__", ())
    found = (names,) if isinstance(names, str) else tuple(names)
    return tuple(name for name in found if name not in ("__dict__", "__weakref__"))


def _state(value: Any) -> dict[str, Any]:
    """What an object holds, but what it has only computed, and the private things of a library."""
    bases = type(value).__mro__
    kept = {name for base in bases for name, member in vars(base).items()
            if isinstance(member, functools.cached_property)}  # fmt: skip
    theirs = any(base is not object and _is_installed(base.__module__) for base in bases)
    state = getattr(value, "__dict__", {})
    return {
        name: held
        for name, held in state.items()
        if name not in kept and not (theirs and name.startswith("_"))
    }


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _names(const)


def _is_installed(module: str | None, file: str | None = None) -> bool:
    """Whether code belongs to this package or to another one, whose version stands for it.

    Code without a file, as in a notebook, is the user's.
    """
    name = (module or "").split(".")[0]
    if file is None:
        file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    if name == "__main__" or file.startswith("<"):
        return False
    built_in = name in sys.builtin_module_names and not file
    if built_in or name == "d2m_jax" or file.startswith(STANDARD):
        return True
    return not set(INSTALLED).isdisjoint(pathlib.PurePath(file).parts)
