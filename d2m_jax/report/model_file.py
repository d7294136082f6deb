"""The trained model as one safetensors file, readable without this package. Host only.

    from flax.traverse_util import unflatten_dict  # a linen module, in five lines
    from safetensors.numpy import load_file

    params = unflatten_dict(load_file("model.safetensors"), sep=".")
    outputs = module.apply(params, x)

A name is the path of a leaf in the tree of parameters, joined by dots; a dot within a name is
written %2E.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from d2m_jax.core.files import StorageError, given_path, write_whole
from d2m_jax.core.types import PyTree

MODEL = "model.safetensors"
ROOT = "params"  # the name of a tree that is one array
ESCAPED = str.maketrans({".": "%2E", "%": "%25"})


def save_model(
    path: str | pathlib.Path, params: PyTree, about: Mapping[str, Any] | None = None
) -> None:
    """Writes the parameters of a model, whole or not at all, bit for bit.

    Args:
        path: of the file, `.safetensors`.
        params: nested dictionaries, lists, tuples, NamedTuples and structs of arrays; a list counts
            its entries "0", "1", ...
        about: facts that go into the head of the file as text: task, data, metric.

    Raises:
        StorageError: the disk is full.
        ValueError: there is no array at all.
    """
    named = dict(named_leaves(params))
    if not named:
        raise ValueError("the model has no parameters, so there is nothing to save")
    arrays = {name: np.ascontiguousarray(np.asarray(leaf)) for name, leaf in named.items()}
    shaped = {name: array.reshape(np.shape(named[name])) for name, array in arrays.items()}
    facts = {str(key): str(value) for key, value in (about or {}).items()}
    write_whole(given_path(path), save(shaped, metadata={"format": "np", **facts}))


def load_model(path: str | pathlib.Path) -> dict[str, Any]:
    """The parameters as nested dictionaries of numpy arrays: `module.apply(load_model(path), x)`.

    Entries of lists, tuples and structs come back under "0", "1", ... or the names of their fields;
    `like(params, load_model(path))` puts them back into the tree of a task.

    Raises:
        StorageError: there is no such file, or it is no safetensors file.
    """
    path = given_path(path)
    try:
        with safe_open(path, framework="np") as file:
            arrays = file.get_tensors()
    except (OSError, SafetensorError) as error:
        raise StorageError(f"the model {path} cannot be read: {error}") from error
    params: dict[str, Any] = {}
    for name, array in arrays.items():
        *parents, leaf = map(unquote, name.split("."))
        place = params
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = array
    return params


def like(tree: PyTree, params: Mapping[str, Any]) -> PyTree:
    """Loaded parameters in the structure of another tree, such as that of `task.init`.

    Raises:
        ValueError: a leaf is missing or has another shape; the sentence names it.
    """
    found = dict(named_leaves(params))
    wanted = dict(named_leaves(tree))
    for name, leaf in wanted.items():
        if name not in found:
            raise ValueError(f"the model file has no {name}")
        if np.shape(found[name]) != np.shape(leaf):
            raise ValueError(
                f"{name} has the shape {np.shape(found[name])} in the model file, "
                f"and {np.shape(leaf)} in the task"
            )
    return jax.tree.unflatten(jax.tree.structure(tree), [found[name] for name in wanted])


def named_leaves(tree: PyTree) -> Iterator[tuple[str, Any]]:
    """Leaves with the dotted names of their paths, in the order of `jax.tree.leaves`."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        yield ".".join(map(_part, path)) or ROOT, leaf


def _part(entry: Any) -> str:
    """One step of a path: the key of a dictionary, a field, a position."""
    for kind in ("key", "name", "idx"):
        if hasattr(entry, kind):
            part = getattr(entry, kind)
            return str(part).translate(ESCAPED)
    return str(entry).translate(ESCAPED)
