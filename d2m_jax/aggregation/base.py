"""One way to call any rule: `make_aggregator`, with memory, pre-aggregators and the bad-row policy.

Here: the record of a rule, the pair of init and apply, chains, trees. Not here: the rules. Read
next: the tables in `__init__.py`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import Count
from d2m_jax.core.choices import lookup
from d2m_jax.core.rows import as_float32, as_rows, finite_mask
from d2m_jax.core.types import Key, PyTree

PRESETS = ("paper", "byzfl")


class Rule(NamedTuple):
    """A rule and what the caller must know of it; calling it calls `fn`."""

    fn: Callable[..., jax.Array]  # fn(updates [S, D], f, *, mask=None, **hyper) -> [D]
    uses: tuple[str, ...] = ()  # of "key", "root", "losses": what it takes beside the updates
    presets: bool = False  # takes preset="paper" or "byzfl"
    init: Callable[[int, int], PyTree] | None = None  # (num_sellers, dim) -> state
    step: Callable[..., tuple[jax.Array, PyTree]] | None = None  # with memory, instead of fn
    by_seller: bool = False  # remembers sellers one by one: rows must stay who they are

    def __call__(self, updates: jax.Array, f: Count = 0, **kwargs: Any) -> jax.Array:
        """`fn(updates, f, **kwargs)`, without memory."""
        return self.fn(updates, f, **kwargs)


class Aggregator(NamedTuple):
    """A rule with everything before it, as a pair of pure functions."""

    init: Callable[[int, int], PyTree]  # (num_sellers, dim) -> state, () without memory
    apply: Callable[..., tuple[jax.Array, PyTree]]
    # apply(state, updates [S, D], f, mask=None, *, indices=None, key=None, root=None, losses=None,
    #       **hyper) -> (aggregate [D], state)
    uses: tuple[str, ...]  # of "key", "root", "losses", "indices": what apply has to be given


def chain(*parts: Callable[..., Any]) -> Callable[..., jax.Array]:
    """Pre-aggregators and, last, a rule, as one rule: `chain(nnm, arc, trimmed_mean)`.

    The result is called like a rule. A `key=` is split among the parts that take one; other
    keywords go to the rule. Bind the numbers of a pre-aggregator with `functools.partial`.
    """
    *pre, rule = parts

    def chained(
        updates: jax.Array,
        f: Count = 0,
        *,
        mask: jax.Array | None = None,
        key: Key | None = None,
        **hyper: Any,
    ) -> jax.Array:
        updates, mask = as_rows(updates, mask)
        updates, f, mask, key = premix(pre, updates, f, mask, key)
        if key is not None and "key" in _uses(rule):
            hyper["key"] = key
        return rule(updates, f, mask=mask, **hyper)

    return chained


def premix(
    pre: Sequence[Callable[..., Any]],
    updates: jax.Array,
    f: Count,
    mask: jax.Array | None,
    key: Key | None,
) -> tuple[jax.Array, Count, jax.Array | None, Key | None]:
    """The rows after all pre-aggregators, with f, mask and the key that is left for the rule."""
    for part in pre:
        part_key = None
        if key is not None:
            part_key, key = jax.random.split(key)
        updates, f, mask = part(updates, f, mask=mask, key=part_key)
    return updates, f, mask, key


def _uses(rule: Any) -> tuple[str, ...]:
    if isinstance(rule, Rule):
        return rule.uses
    if isinstance(rule, functools.partial):  # what is bound is given
        return tuple(name for name in _uses(rule.func) if name not in rule.keywords)
    try:
        return ("key",) if "key" in inspect.signature(rule).parameters else ()
    except ValueError:  # a built-in without a signature
        return ()


def build_aggregator(
    rule: Rule,
    pre: Sequence[Callable[..., Any]] = (),
    preset: str = "paper",
    **static: Any,
) -> Aggregator:
    """The pair of init and apply for a rule; see `make_aggregator`, which finds them by name."""
    fixed = {**static, **({"preset": preset} if rule.presets else {})}

    def init(num_sellers: int, dim: int) -> PyTree:
        return () if rule.init is None else rule.init(num_sellers, dim)

    def apply(
        state: PyTree,
        updates: jax.Array,
        f: Count,
        mask: jax.Array | None = None,
        *,
        indices: jax.Array | None = None,
        key: Key | None = None,
        root: jax.Array | None = None,
        losses: jax.Array | None = None,
        **hyper: Any,
    ) -> tuple[jax.Array, PyTree]:
        updates, mask = as_rows(updates, mask)
        num_rows = updates.shape[0]
        mask = finite_mask(updates, mask)
        updates, f, mask, key = premix(pre, updates, f, mask, key)
        if updates.shape[0] != num_rows and (rule.by_seller or "losses" in rule.uses):
            raise ValueError("bucketing mixes sellers: put it before no rule that knows them apart")
        given: Mapping[str, Any] = {"key": key, "root": root, "losses": losses}
        for name in rule.uses:
            if given[name] is not None:
                hyper[name] = given[name]
            elif name != "key":
                raise ValueError(f"{rule.fn.__name__} needs {name}=")
        if rule.step is None:
            return rule.fn(updates, f, mask=mask, **fixed, **hyper), state
        if indices is None:
            indices = jnp.arange(num_rows)
        return rule.step(state, updates, f, mask=mask, indices=indices, **fixed, **hyper)

    uses = rule.uses + (("indices",) if rule.by_seller else ())
    return Aggregator(init, apply, uses)


def resolve(
    rules: Mapping[str, Rule],
    pre_aggregators: Mapping[str, Callable[..., Any]],
    name: str | Callable[..., Any],
    pre: str | Callable[..., Any] | Sequence[str | Callable[..., Any]],
    preset: str,
) -> tuple[Rule, list[Callable[..., Any]]]:
    """Names to functions; callables pass unchanged. Raises ValueError for an unknown name."""
    lookup(dict.fromkeys(PRESETS), preset, "preset")
    pre = (pre,) if isinstance(pre, str) or callable(pre) else pre
    rule = lookup(rules, name, "aggregator") if isinstance(name, str) else name
    if not isinstance(rule, Rule):
        rule = Rule(rule, uses=_uses(rule))
    parts = [lookup(pre_aggregators, p, "pre-aggregator") if isinstance(p, str) else p for p in pre]
    return rule, parts


def aggregate_tree(
    rule: Callable[..., jax.Array], updates: PyTree, f: Count = 0, **kwargs: Any
) -> PyTree:
    """Applies a rule for matrices to a tree whose leaves have a leading axis of sellers.

    The leaves are raveled into one `[S, D]` matrix and the aggregate is cut up again.

    Args:
        rule: `rule(updates [S, D], f, **kwargs) -> [D]`.
        updates: tree of `[S, ...]` arrays.
        f: passed to the rule.
        kwargs: passed to the rule.

    Returns:
        The tree without the axis of sellers, dtypes as before.
    """
    leaves, treedef = jax.tree.flatten(updates)
    rows = [as_float32(leaf).reshape(leaf.shape[0], -1) for leaf in leaves]
    flat = rule(jnp.concatenate(rows, axis=1), f, **kwargs)
    out, start = [], 0
    for leaf in leaves:
        size = leaf[0].size
        out.append(flat[start : start + size].reshape(leaf.shape[1:]).astype(leaf.dtype))
        start += size
    return jax.tree.unflatten(treedef, out)
