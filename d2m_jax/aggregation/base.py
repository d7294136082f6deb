"""One way to call any rule: `make_aggregator`, with memory, pre-aggregators and the bad-row policy.

Here: the record of a rule, the pair of init and apply, chains, trees. Not here: the rules. Read
next: the tables in `__init__.py`.
"""

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core import choices as parts_of
from d2m_jax.core import promises
from d2m_jax.core.protocols import Aggregator, InitMemory, LossesOf, OutputsOf, RuleFn
from d2m_jax.core.rows import as_float32, as_rows, finite_mask
from d2m_jax.core.types import Count, Key, Number, PyTree

PRESETS = ("paper", "byzfl")
MIXED = promises.floats(None, None), promises.integers(), promises.anything  # rows, f, mask


class Step(Protocol):
    """One round of a rule with memory."""

    def __call__(
        self, memory: PyTree, updates: jax.Array, f: Count, /, *given: Any, **numbers: Any
    ) -> tuple[jax.Array, PyTree]:
        """The aggregate `[D]` and the next memory; `mask=`, `indices=` `[S]` and numbers."""


class PreAggregator(Protocol):
    """What changes the rows before a rule sees them."""

    def __call__(
        self, updates: jax.Array, f: Count, /, *given: Any, **numbers: Any
    ) -> tuple[jax.Array, Count, jax.Array | None]:
        """The new rows `[S', D]`, f and mask; `mask=None`, `key=None` and numbers."""


class Rule(NamedTuple):
    """A rule and what the caller must know of it; calling it calls `fn`.

    Its numbers stand in the signature of `step`, or of `fn` when there is none.
    """

    fn: RuleFn
    uses: tuple[str, ...] = ()  # see `Aggregator`; "indices" stands in `by_seller`
    presets: bool = False  # takes preset="paper" or "byzfl"
    init: InitMemory | None = None
    step: Step | None = None  # with memory, instead of fn
    by_seller: bool = False  # remembers sellers one by one: rows must stay who they are

    @property
    def numbers(self) -> dict[str, Number]:
        """What may be traced and swept, with defaults."""
        return parts_of.numbers(self.step or self.fn)

    @property
    def options(self) -> dict[str, Any]:
        """Static choices, with defaults."""
        return parts_of.options(self.step or self.fn)

    def __call__(self, updates: jax.Array, f: Count = 0, **kwargs: Any) -> jax.Array:
        """`fn(updates, f, **kwargs)`, without memory."""
        return self.fn(updates, f, **kwargs)


def chain(*parts: Any) -> RuleFn:
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
    pre: Sequence[PreAggregator],
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
        what, given = f"pre-aggregator {parts_of.label(part)!r}", {"mask": mask, "key": part_key}
        promises.check_call(what, part, updates, f, **given)
        mixed = part(updates, f, **given)
        promises.kept(what, mixed, MIXED)  # f stays static where it is
        updates, f, mask = mixed
        if mask is not None:
            promises.kept(f"the mask of {what}", mask, promises.booleans(updates.shape[0]))
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
    pre: Sequence[PreAggregator] = (),
    preset: str = "paper",
    **static: Any,
) -> Aggregator:
    """The pair of init and apply for a rule; see `make_aggregator`, which finds them by name."""
    fixed = {**static, **({"preset": preset} if rule.presets else {})}

    def init(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> PyTree:
        if rule.init is None:
            return ()
        return rule.init(num_sellers, dim, **parts_of.taken(rule.init, {"dtype": dtype}))

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
        losses_of: LossesOf | None = None,
        layers: Sequence[int] | None = None,
        outputs_of: OutputsOf | None = None,
        **hyper: Any,
    ) -> tuple[jax.Array, PyTree]:
        updates, mask = as_rows(updates, mask)
        num_rows = updates.shape[0]
        mask = finite_mask(updates, mask)
        updates, f, mask, key = premix(pre, updates, f, mask, key)
        if updates.shape[0] != num_rows and (rule.by_seller or "losses" in rule.uses):
            raise ValueError("bucketing mixes sellers: put it before no rule that knows them apart")
        needed = {"root": root, "losses": losses, "losses_of": losses_of}
        offered = {"key": key, "layers": layers, "outputs_of": outputs_of}
        for name, value in {**needed, **offered}.items():
            if name in rule.uses and value is not None:
                hyper[name] = value
            elif name in rule.uses and name in needed:
                raise ValueError(f"{parts_of.label(rule.fn)} needs {name}=")
        what, aggregate = f"aggregator {parts_of.label(rule)!r}", promises.floats(updates.shape[1])
        hyper = {**fixed, **hyper}
        if rule.step is None:
            promises.check_call(what, rule.fn, updates, f, mask=mask, **hyper)
            found = rule.fn(updates, f, mask=mask, **hyper)
            return promises.kept(what, found, aggregate), state
        if indices is None:
            indices = jnp.arange(num_rows)
        promises.check_call(what, rule.step, state, updates, f, mask=mask, indices=indices, **hyper)
        both = rule.step(state, updates, f, mask=mask, indices=indices, **hyper)
        return promises.kept(what, both, (aggregate, promises.Like(state)))

    uses = rule.uses + (("indices",) if rule.by_seller else ())
    return Aggregator(init, apply, uses)


def resolve(
    rules: Mapping[str, Rule],
    pre_aggregators: Mapping[str, PreAggregator],
    name: str | RuleFn,
    pre: str | PreAggregator | Sequence[str | PreAggregator],
    preset: str,
) -> tuple[Rule, list[PreAggregator]]:
    """Names to functions; callables pass unchanged. Raises ValueError for an unknown name."""
    parts_of.lookup(dict.fromkeys(PRESETS), preset, "preset")
    several = (pre,) if isinstance(pre, str) or callable(pre) else pre
    rule = as_rule(parts_of.pick(rules, name, "aggregator"))
    return rule, [parts_of.pick(pre_aggregators, part, "pre-aggregator") for part in several]


def as_rule(part: Rule | RuleFn) -> Rule:
    """A rule from a function of the user's own; a `Rule` stays what it is.

    Args:
        part: a `Rule`, or `rule(updates, f, *, mask, **numbers)`; a `key` in its signature is
            given to it.

    Raises:
        ValueError: neither.
    """
    if isinstance(part, Rule):
        return part
    if not callable(part):
        raise ValueError(f"an aggregator must be a Rule or a function, not {part!r}")
    return Rule(part, uses=_uses(part))


def aggregate_tree(rule: RuleFn, updates: PyTree, f: Count = 0, **kwargs: Any) -> PyTree:
    """Applies a rule for matrices to a tree whose leaves have a leading axis of sellers.

    The leaves are raveled into one `[S, D]` matrix and the aggregate is cut up again.

    Example: `aggregate_tree(median, {"w": w, "b": b})` for `w` `[S, 3, 4]` and `b` `[S, 4]`.

    Args:
        rule: `rule(updates [S, D], f, **kwargs) -> [D]`.
        updates: tree of `[S, ...]` arrays.
        f: passed to the rule.
        kwargs: passed to the rule.

    Returns:
        The tree without the axis of sellers, dtypes as before.

    Raises:
        ValueError: leaves that are not floating, or do not all have the same number of sellers.
    """
    leaves, treedef = jax.tree.flatten(updates)
    sellers = {leaf.shape[:1] for leaf in leaves}
    if len(sellers) != 1 or () in sellers:
        shapes = ", ".join(str(leaf.shape) for leaf in leaves) or "none"
        raise ValueError(f"every leaf must be [S, ...] for one number of sellers S, got {shapes}")
    rows = [as_float32(leaf).reshape(leaf.shape[0], -1) for leaf in leaves]
    flat = rule(jnp.concatenate(rows, axis=1), f, **kwargs)
    out, start = [], 0
    for leaf in leaves:
        size = leaf[0].size
        out.append(flat[start : start + size].reshape(leaf.shape[1:]).astype(leaf.dtype))
        start += size
    return jax.tree.unflatten(treedef, out)
