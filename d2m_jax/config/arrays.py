"""From plain numbers to the arrays that a market takes."""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.config.hparams import MARKET_RULES, PARTS, HParams, Money
from d2m_jax.config.ranges import check_ranges, check_rule_names


def as_arrays(hparams: HParams) -> HParams:
    """Types every number as its default is typed, so that 1 and 1.0 mean the same program.

    Counts, flags and money become int32, the rest float32; the numbers of chosen parts are float32.

    Raises:
        ValueError: a rule of the ledger that does not exist, or a number that is none; where all
            are plain numbers, also one that is out of its range. What only the spec can tell, such
            as more bad parties than there are parties, is checked by `market.numbers`.
    """
    check_rule_names(hparams)
    if all(isinstance(leaf, int | float) for leaf in jax.tree.leaves(hparams)):
        check_ranges(hparams)
    named: dict[str, Any] = {part: dict.fromkeys(getattr(hparams, part), 0.0) for part in PARTS}
    buyers = len(hparams.money.buyer_values)
    money = Money(buyer_values=(0,) * buyers, buyer_shading_bps=(0,) * buyers)
    rules = {name: MARKET_RULES[name] for name in hparams.rules}
    like = HParams(money=money, rules=rules, **named)

    def typed(path: Any, leaf: Any, default: int | float) -> jax.Array:
        try:
            return jnp.asarray(leaf, jnp.int32 if isinstance(default, int) else jnp.float32)
        except (TypeError, ValueError, OverflowError) as error:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            kind = "an integer of 32 bits" if isinstance(default, int) else "a number"
            raise ValueError(f"{name} must be {kind}, not {leaf!r}") from error

    return jax.tree_util.tree_map_with_path(typed, hparams, like)
