"""Networks of flax (linen and nnx), equinox and haiku as tasks. Plain functions: `Task(...)`.

Libraries are imported when they are used. Not here: which loss and metric are meant, and what is
refused (`network.py`).
"""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from d2m_jax.core.types import Batch, Key, PyTree
from d2m_jax.tasks.network import (
    Aims,
    Network,
    TaskError,
    check_parameters,
    refuse_untrained,
    task_of,
)
from d2m_jax.tasks.task import Loss, Metric, Task

ON = ("train", "training", "is_training")  # keywords that switch dropout on
OFF = ("deterministic", "inference")  # and off


def from_flax(
    module: Any,
    *,
    sample: Batch,
    loss: Loss | None = None,
    metric: Metric | None = None,
    num_classes: int = 0,
    name: str = "",
    inputs: str | None = "inputs",
    train_keyword: str | None = None,
) -> Task:
    """The task of a flax module.

    Dropout is on when `apply` gets a key. A keyword `train`, `training`, `is_training`,
    `deterministic` or `inference` of the module's call is set accordingly.

    Args:
        module: a linen module; a function or class that makes an nnx module of `rngs=`, which then
            starts anew from every key; or an nnx module, whose own values are then the start.
        sample: a batch as the module sees it; its shapes and dtypes count, and its labels.
        loss: `(outputs, batch) -> [B]`; None: read from the labels, see `network.defaults`.
        metric: one of `measures.METRICS` or of one's own; None: read from the labels.
        num_classes: L; 0: the number of logits where labels are integers.
        name: for tables and messages; empty: the name of the class.
        inputs: the entry of the batch that the module is called with; None: the whole batch.
        train_keyword: the keyword that switches dropout, where the module calls it otherwise.

    Raises:
        TaskError: variables that are not trained (the statistics of BatchNorm), parameters that
            are not floating, a sample that the module cannot take.
    """
    if isinstance(module, nn.Module):
        network = _linen(module, name or type(module).__name__, train_keyword)
    elif callable(module):
        network = _nnx(module, name or _name(module), train_keyword)
    else:
        raise TaskError(f"from_flax takes a linen or nnx module, not {type(module).__name__}")
    return task_of(network, sample, Aims(loss, metric, num_classes), inputs)


def from_equinox(
    model: Any,
    *,
    sample: Batch,
    loss: Loss | None = None,
    metric: Metric | None = None,
    num_classes: int = 0,
    name: str = "",
    inputs: str | None = "inputs",
) -> Task:
    """The task of an equinox model, which takes one example; it is vmapped over the batch.

    With a key each example gets its own as `key=`, if the call has that keyword; without one the
    model is in inference mode.

    Args:
        model: a function from a key to a model, which then starts anew from every key; or a model,
            whose own values are then the start.
        sample, loss, metric, num_classes, name, inputs: as in `from_flax`.

    Raises:
        TaskError: state (BatchNorm, SpectralNorm), arrays that are not floating, a sample that the
            model cannot take.
    """
    network = _equinox(model, name or _name(model))
    return task_of(network, sample, Aims(loss, metric, num_classes), inputs)


def from_haiku(
    transformed: Any,
    *,
    sample: Batch,
    loss: Loss | None = None,
    metric: Metric | None = None,
    num_classes: int = 0,
    name: str = "haiku network",
    inputs: str | None = "inputs",
    train_keyword: str | None = None,
) -> Task:
    """The task of what `hk.transform` returns.

    Args:
        transformed: of `hk.transform`, or of `hk.transform_with_state` if its state is empty.
        sample, loss, metric, num_classes, name, inputs: as in `from_flax`.
        train_keyword: the keyword of the function that switches dropout ("is_training"), if it has
            one: haiku hides the signature.

    Raises:
        TaskError: state (BatchNorm), parameters that are not floating, a sample that the function
            cannot take.
    """
    network = _haiku(transformed, name, train_keyword)
    return task_of(network, sample, Aims(loss, metric, num_classes), inputs)


def _linen(module: nn.Module, name: str, keyword: str | None) -> Network:
    keyword = keyword or _switch(type(module).__call__)

    def init(key: Key, x: Any) -> PyTree:
        variables = dict(module.init(key, x, **_flag(keyword, None)))
        params = variables.pop("params", {})
        refuse_untrained(name, [f"{kind} of {', '.join(variables[kind])}" for kind in variables])
        return {"params": params}

    def apply(params: PyTree, x: Any, key: Key | None) -> Any:
        rngs = None if key is None else {"dropout": key}
        return module.apply(params, x, rngs=rngs, **_flag(keyword, key))

    return Network(name, init, apply)


def _nnx(module: Any, name: str, keyword: str | None) -> Network:
    """Parameters are the plain dictionary of the module's `nnx.Param`s."""
    from flax import nnx

    given = isinstance(module, nnx.Module)
    model = nnx.clone(module) if given else nnx.eval_shape(lambda: module(rngs=nnx.Rngs(0)))
    if not isinstance(model, nnx.Module):
        raise TaskError(f"{name} makes {type(model).__name__}, which is no nnx module")
    keyword = keyword or _switch(type(model).__call__)
    parts: Any = nnx.split(model, nnx.Param, nnx.RngState, ...)
    _, params, draws, rest = parts
    found = [
        f"{type(variable).__name__} {'.'.join(str(part) for part in path)}"
        for path, variable in nnx.to_flat_state(rest)
    ]
    refuse_untrained(name, found)
    start, draws = nnx.to_pure_dict(params), nnx.to_pure_dict(draws)
    graphs = {}
    for training in (True, False):
        model.train() if training else model.eval()
        graphs[training] = nnx.graphdef(model)

    def init(key: Key, x: Any) -> PyTree:
        del x  # nnx modules know their shapes
        if given:
            return start
        return nnx.to_pure_dict(nnx.state(module(rngs=nnx.Rngs(key)), nnx.Param))

    def apply(params: PyTree, x: Any, key: Key | None) -> Any:
        state = nnx.State(params), nnx.State(_seeded(draws, key))
        return nnx.merge(graphs[key is not None], *state)(x, **_flag(keyword, key))

    return Network(name, init, apply)


def _seeded(draws: PyTree, key: Key | None) -> PyTree:
    """The random streams of an nnx module, started anew from `key`, each from its own."""
    leaves, tree = jax.tree.flatten(draws)
    seed = jax.random.key(0) if key is None else key

    def fresh(index: int, leaf: Any) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.fold_in(seed, index)
        return jnp.zeros(leaf.shape, leaf.dtype)

    return jax.tree.unflatten(tree, [fresh(index, leaf) for index, leaf in enumerate(leaves)])


def _equinox(model: Any, name: str) -> Network:
    import equinox as eqx

    given = isinstance(model, eqx.Module)
    shapes = model if given else eqx.filter_eval_shape(model, jax.random.key(0))
    if isinstance(shapes, tuple):
        refuse_untrained(
            name, [f"the {type(part).__name__} of make_with_state" for part in shapes[1:]]
        )
    refuse_untrained(name, _equinox_states(shapes))
    if not isinstance(shapes, eqx.Module):
        raise TaskError(f"{name} makes {type(shapes).__name__}, which is no equinox model")

    def is_array(leaf: Any) -> bool:
        return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)

    trained, rest = eqx.partition(shapes, is_array)
    check_parameters(name, trained)
    takes_key = "key" in _parameters(type(shapes).__call__)

    def init(key: Key, x: Any) -> PyTree:
        del x  # equinox models know their shapes
        return trained if given else eqx.filter(model(key), eqx.is_array)

    def apply(params: PyTree, x: Any, key: Key | None) -> Any:
        whole = eqx.combine(params, rest)
        if key is None:
            whole = eqx.nn.inference_mode(whole)
        if not takes_key:
            return jax.vmap(whole)(x)
        count = jax.tree.leaves(x)[0].shape[0]
        keys = None if key is None else jax.random.split(key, count)
        return jax.vmap(lambda one, key: whole(one, key=key))(x, keys)

    return Network(name, init, apply)


def _equinox_states(model: Any) -> list[str]:
    import equinox as eqx

    def holds_state(node: Any) -> bool:
        if isinstance(node, eqx.nn.StatefulLayer) and not isinstance(node, eqx.nn.Sequential):
            return node.is_stateful()
        return isinstance(node, eqx.nn.StateIndex | eqx.nn.State)

    nodes = jax.tree.leaves_with_path(model, is_leaf=holds_state)
    return [
        f"{type(node).__name__} {jax.tree_util.keystr(path)}".strip()
        for path, node in nodes
        if holds_state(node)
    ]


def _haiku(transformed: Any, name: str, keyword: str | None) -> Network:
    import haiku as hk

    if not isinstance(transformed, hk.Transformed | hk.TransformedWithState):
        raise TaskError(f"from_haiku takes what hk.transform returns, not {transformed!r}")
    has_state = isinstance(transformed, hk.TransformedWithState)

    def init(key: Key, x: Any) -> PyTree:
        try:
            made: Any = transformed.init(key, x, **_flag(keyword, None))
        except ValueError as error:
            if "transform_with_state" in str(error):  # what hk.transform says to hk.set_state
                refuse_untrained(name, ["haiku state"])
            raise
        if not has_state:
            return made
        params, state = made
        refuse_untrained(name, [f"state of {module}" for module in state])
        return params

    def apply(params: PyTree, x: Any, key: Key | None) -> Any:
        flag = _flag(keyword, key)
        if has_state:
            return transformed.apply(params, {}, key, x, **flag)[0]
        return transformed.apply(params, key, x, **flag)

    return Network(name, init, apply)


def _switch(call: Callable[..., Any]) -> str | None:
    """The keyword of a module's call that switches dropout, if it has one that is known."""
    return next((name for name in _parameters(call) if name in (*ON, *OFF)), None)


def _parameters(call: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(call).parameters)


def _flag(keyword: str | None, key: Key | None) -> dict[str, Any]:
    """Training with a key, evaluation without."""
    return {} if keyword is None else {keyword: (key is None) == (keyword in OFF)}


def _name(made: Any) -> str:
    """The class of a module, or the name of what makes one."""
    return getattr(made, "__name__", type(made).__name__)
