"""From plain numbers to the arrays that a market takes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.config.forms import check_forms
from d2m_jax.config.hparams import (
    MARKET_RULES,
    PARTS,
    HParams,
    Money,
    Requests,
    is_amount,
)
from d2m_jax.config.ranges import check_ranges, check_rule_names
from d2m_jax.core.money import money_type


def money_like(money: Money) -> Money:
    """Defaults whose shape and types are those of the money, for as many buyers."""
    buyers, conduct = (0,) * len(money.buyer_values), (0,) * len(money.buyer_conduct)
    return Money(buyer_values=buyers, buyer_shading_bps=buyers, buyer_conduct=conduct)


def type_of(path: Any, default: int | float) -> Any:
    """The type of the array for the number at a path of `HParams`, by the type of its default."""
    if not isinstance(default, int):
        return jnp.dtype(jnp.float32)
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return jnp.dtype(money_type() if is_amount(name) else jnp.int32)


def as_arrays(hparams: HParams) -> HParams:
    """Types every number as its default is typed, so that 1 and 1.0 mean the same program.

    Counts and flags become int32, money `core.money.money_type`, the rest float32; the numbers of
    chosen parts are float32.

    Raises:
        ValueError: a rule of the ledger that does not exist, or a number that is none; where all
            are plain numbers, also one that is out of its range. What only the spec can tell, such
            as more bad parties than there are parties, is checked by `market.numbers`.
    """
    check_forms(hparams)
    check_rule_names(hparams)
    if all(isinstance(leaf, int | float) for leaf in jax.tree.leaves(hparams)):
        check_ranges(hparams)
    named: dict[str, Any] = {part: dict.fromkeys(getattr(hparams, part), 0.0) for part in PARTS}
    rules = {name: MARKET_RULES[name] for name in hparams.rules}
    money, requests = money_like(hparams.money), requests_like(hparams.requests)
    like = HParams(money=money, requests=requests, rules=rules, **named)

    def typed(path: Any, leaf: Any, default: int | float) -> jax.Array:
        wanted = type_of(path, default)
        is_number = isinstance(leaf, int | float)  # numpy compiles no conversion
        try:
            return jnp.asarray(np.asarray(leaf, wanted) if is_number else leaf, wanted)
        except (TypeError, ValueError, OverflowError) as error:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            bits = 8 * wanted.itemsize
            kind = f"an integer of {bits} bits" if isinstance(default, int) else "a number"
            raise ValueError(f"{name} must be {kind}, not {leaf!r}") from error

    return jax.tree_util.tree_map_with_path(typed, hparams, like)


def requests_like(requests: Requests) -> Requests:
    """Requests of the same lengths, whose entries have the types that arrays of them have."""
    return Requests(
        tags=(0,) * len(requests.tags),
        tau=(0.0,) * len(requests.tau),
        wants=(0,) * len(requests.wants),
    )
