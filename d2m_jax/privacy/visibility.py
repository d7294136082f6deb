"""Who sees what, declared once and checked on the program that runs.

Every value is an item of the table `VISIBILITY`. Where a value becomes another item (an update made
of raw data, a metric made of a model) the market says so with `release`, which changes nothing at
run time; `RELEASES` declares who makes an item and of which others. `flows` then follows the data
through the traced program, operation by operation: an item made of what its release does not
declare is refused, and `check_flows` refuses what reaches a party that may not see it. Timing and
what a value lets one infer are not followed (that is what differential privacy is for). The D2M
paper claims privacy and names no mechanism: our choice.
"""

import enum
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Literal

T = TypeVar("T")
Labels = frozenset[str]
NOTHING: Labels = frozenset()


class Party(enum.StrEnum):
    """Who may see a value."""

    OWNER = "its seller"
    SELLERS = "sampled sellers"
    NODES = "execution sets"
    BUYER = "the buyer"
    CHAIN = "everybody"


_ALL = frozenset({Party.OWNER, Party.SELLERS, Party.NODES, Party.BUYER, Party.CHAIN})
VISIBILITY: dict[str, frozenset[Party]] = {
    "raw data": frozenset({Party.OWNER}),
    "openings": frozenset({Party.OWNER, Party.NODES}),  # examples that a bonded unit has to show
    "opened batch": frozenset({Party.OWNER, Party.NODES}),  # where work is judged by it
    "update": frozenset({Party.OWNER, Party.NODES}),
    "own update": frozenset({Party.OWNER}),  # with secure aggregation
    "range proof": _ALL,  # that an own update is finite and not too long
    "group mean": frozenset({Party.OWNER, Party.NODES}),
    "correction examples": frozenset({Party.BUYER, Party.NODES}),
    "verdict examples": frozenset({Party.BUYER, Party.NODES}),
    "root examples": frozenset({Party.BUYER, Party.NODES}),
    "test examples": frozenset(),  # of the report only: no party of the market
    "aggregate": frozenset({Party.NODES, Party.SELLERS, Party.BUYER}),
    "model": frozenset({Party.NODES, Party.SELLERS, Party.BUYER}),
    "verdicts on sellers": _ALL,
    "contributions": _ALL,
    "metric": _ALL,
    "bids": _ALL,
}


class Release(NamedTuple):
    """Who makes an item, and of what it may be made."""

    by: frozenset[Party]  # the roles of the one who makes it
    sources: frozenset[str]


_SELLER = frozenset({Party.OWNER, Party.SELLERS})  # a seller that was sampled
_NODE = frozenset({Party.NODES})
_PUBLIC = frozenset({"verdicts on sellers", "contributions", "metric", "bids", "range proof"})
_WORK = frozenset({"update", "group mean", "aggregate", "model"}) | _PUBLIC
_EXAMPLES = frozenset({"correction examples", "openings"})
RELEASES: dict[str, Release] = {
    "openings": Release(frozenset({Party.OWNER}), frozenset({"raw data"}) | _PUBLIC),
    "update": Release(_SELLER, frozenset({"raw data", "model", "aggregate"}) | _PUBLIC),
    "own update": Release(_SELLER, frozenset({"raw data", "model", "aggregate"}) | _PUBLIC),
    "opened batch": Release(_SELLER, frozenset({"raw data"}) | _PUBLIC),
    "range proof": Release(_SELLER, frozenset({"own update"})),
    "group mean": Release(_SELLER, frozenset({"own update"}) | _PUBLIC),
    "verdicts on sellers": Release(_NODE, _WORK | _EXAMPLES | {"root examples"}),
    "aggregate": Release(_NODE, _WORK | {"correction examples", "root examples"}),
    "model": Release(_NODE, frozenset({"aggregate", "model"}) | _PUBLIC),
    "contributions": Release(_NODE, _WORK | _EXAMPLES | {"opened batch"}),
    "metric": Release(_NODE, frozenset({"model", "verdict examples"})),
}


def release(value: T, item: str) -> T:
    """Declares that from here on a value is the given item; the value itself is unchanged.

    What it was made of is checked by `flows` against `RELEASES`.

    Args:
        value: a pytree of arrays; other leaves (None, functions) are left alone.
        item: a name in `VISIBILITY`.

    Raises:
        ValueError: no such item.
    """
    if item not in VISIBILITY:
        raise ValueError(f"unknown item {item!r}; valid items: {', '.join(VISIBILITY)}")

    def mark(leaf: Any) -> Any:
        return checkpoint_name(leaf, item) if isinstance(leaf, jax.Array) else leaf

    return jax.tree.map(mark, value)


def flows(fn: Callable[..., Any], labels: Any, *args: Any) -> Any:
    """The items that every output of a function is made of.

    Args:
        fn: a function of arrays.
        labels: as `args`, a prefix tree of item names, or None for what nobody has to hide.
        *args: arrays or shapes.

    Returns:
        The tree of outputs with a frozenset of items in every leaf.

    Raises:
        ValueError: an item is made of something that `RELEASES` does not declare.
    """
    program, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
    given = jax.tree.leaves(
        jax.tree.map(
            lambda item, part: jax.tree.map(lambda _: item or "", part),
            labels,
            args,
            is_leaf=lambda x: x is None,
        )
    )
    start = [frozenset({item}) if item else NOTHING for item in given]
    out = _follow(program.jaxpr, start)
    return jax.tree.unflatten(jax.tree.structure(shape), out)


def check_flows(outputs: Any, party: Party) -> None:
    """Checks that a party may see everything in a tree made by `flows`.

    Raises:
        ValueError: one sentence that names the first value and the item it must not hold.
    """
    for path, items in jax.tree_util.tree_flatten_with_path(
        outputs, is_leaf=lambda x: isinstance(x, frozenset)
    )[0]:
        hidden = sorted(item for item in items if party not in VISIBILITY[item])
        if hidden:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(f"{hidden[0]} must not reach {party.value}, but flows into {name}")


def table() -> str:
    """The table as text, one line per item."""
    width = max(map(len, VISIBILITY))
    lines = []
    for item, parties in VISIBILITY.items():
        if Party.CHAIN in parties:
            seen = "everybody"
        else:
            seen = ", ".join(p.value for p in Party if p in parties) or "nobody: reports only"
        lines.append(f"{item:<{width}}  {seen}")
    return "\n".join(lines)


def releases_table() -> str:
    """The declared releases as text, one line per item."""
    width = max(map(len, RELEASES))
    return "\n".join(
        f"{item:<{width}}  by {' / '.join(p.value for p in Party if p in rule.by)}, of "
        f"{', '.join(name for name in VISIBILITY if name in rule.sources)}"
        for item, rule in RELEASES.items()
    )


def _follow(jaxpr: Any, given: list[Labels]) -> list[Labels]:
    """Labels of the outputs of a jaxpr from those of its inputs; constants have none."""
    known: dict[Any, Labels] = dict(zip(jaxpr.invars, given, strict=True))

    def read(atom: Any) -> Labels:
        return NOTHING if isinstance(atom, Literal) else known.get(atom, NOTHING)

    for eqn in jaxpr.eqns:
        out = _outputs(eqn, [read(atom) for atom in eqn.invars])
        known.update(zip(eqn.outvars, out, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _outputs(eqn: Any, given: list[Labels]) -> list[Labels]:
    name, params = eqn.primitive.name, eqn.params
    if name == "name" and params["name"] in VISIBILITY:
        _check_release(params["name"], given[0])
        return [frozenset({params["name"]})]
    if name == "scan":
        return _scan(params, given)
    if name == "cond":
        picked = _union(given[:1])
        branches = [_follow(branch.jaxpr, given[1:]) for branch in params["branches"]]
        return [_union(parts) | picked for parts in zip(*branches, strict=True)]
    if name == "while":
        return _while(params, given)
    for inner in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if inner in params:
            closed = params[inner]
            body = getattr(closed, "jaxpr", closed)
            if len(body.invars) == len(given) and len(body.outvars) == len(eqn.outvars):
                return _follow(body, given)
    return [_union(given)] * len(eqn.outvars)


def _check_release(item: str, made_of: Labels) -> None:
    declared = RELEASES[item].sources if item in RELEASES else NOTHING
    wrong = sorted(made_of - declared - {item})
    if wrong:
        raise ValueError(
            f"{wrong[0]} must not be released as {item}, which is made of "
            f"{', '.join(sorted(declared)) or 'nothing that anybody has to hide'}"
        )


def _scan(params: Any, given: list[Labels]) -> list[Labels]:
    """The carry is followed round and round until no label is added."""
    fixed, carried = params["num_consts"], params["num_carry"]
    consts, carry, rows = given[:fixed], given[fixed : fixed + carried], given[fixed + carried :]
    while True:
        out = _follow(params["jaxpr"].jaxpr, [*consts, *carry, *rows])
        wider = [a | b for a, b in zip(carry, out[:carried], strict=True)]
        if wider == carry:
            return [*carry, *out[carried:]]
        carry = wider


def _while(params: Any, given: list[Labels]) -> list[Labels]:
    """As a scan; how often the body runs also tells what the predicate reads."""
    skip, fixed = params["cond_nconsts"], params["body_nconsts"]
    asked, consts, carry = given[:skip], given[skip : skip + fixed], given[skip + fixed :]
    while True:
        out = _follow(params["body_jaxpr"].jaxpr, [*consts, *carry])
        trips = _union(_follow(params["cond_jaxpr"].jaxpr, [*asked, *carry]))
        wider = [a | b | trips for a, b in zip(carry, out, strict=True)]
        if wider == carry:
            return carry
        carry = wider


def _union(parts: Iterable[Labels]) -> Labels:
    return frozenset().union(*parts)
