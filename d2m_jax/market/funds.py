"""Whether money and rules make sense together, and whether the auction can come to its end."""

from typing import Any

import numpy as np

from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.ledger import DEFAULT_RULES, check_rules, check_supply
from d2m_jax.ledger.rules import BPS
from d2m_jax.ledger.state import INT_MAX


def check_money(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for money or rules that make no sense."""
    money: Any = hparams.money
    rules: dict[str, Any] = {**DEFAULT_RULES, **hparams.rules}
    check_rules({**rules, "num_rounds": spec.num_rounds + 1})
    for name in ("buyer_values", "buyer_shading_bps"):
        if len(getattr(money, name)) != spec.num_buyers:
            raise ValueError(
                f"money.{name} has {len(getattr(money, name))} entries for num_buyers = "
                f"{spec.num_buyers}"
            )
        for value in getattr(money, name):
            if not isinstance(value, int) or not 0 <= value <= INT_MAX:
                raise ValueError(f"money.{name} holds {value!r}, which is no amount of units")
    windows = ("auction_window", "challenge_window", "timeout")
    blocks = sum(rules[name] for name in windows) + 64 * (spec.num_rounds + spec.num_blocks + 1)
    if blocks > INT_MAX:
        raise ValueError(
            f"the windows of the rules and the rounds add up to {blocks} blocks; a ledger counts "
            f"to 2**31 - 1"
        )
    for name in ("buyer_funds", "seller_funds", "node_funds"):
        if getattr(money, name) < 0:
            raise ValueError(f"money.{name} must not be negative, not {getattr(money, name)}")
    check_supply(
        np.full(spec.num_buyers, money.buyer_funds, object),
        np.full(spec.num_sellers, money.seller_funds, object),
        np.full(spec.num_nodes, money.node_funds, object),
    )
    for role, least in (("seller", rules["seller_deposit"]), ("node", rules["node_stake"])):
        stake, funds = getattr(money, f"{role}_stake"), getattr(money, f"{role}_funds")
        if stake < least:
            what = "deposit" if role == "seller" else "stake"
            raise ValueError(
                f"money.{role}_stake = {stake} is below the smallest {what} of a {role}, "
                f"rules.{role}_{what} = {least}"
            )
        if stake > funds:
            raise ValueError(
                f"money.{role}_stake = {stake} is more than money.{role}_funds = {funds}"
            )


def auction_warnings(spec: Spec, hparams: HParams) -> list[str]:
    """Whether the steps from the reserve reach the second highest limit before the window ends."""
    rules: dict[str, Any] = {**DEFAULT_RULES, **hparams.rules}
    values = zip(hparams.money.buyer_values, hparams.money.buyer_shading_bps)
    limits = sorted(value * shading // BPS for value, shading in values)
    bids = min(spec.num_blocks, rules["auction_window"]) * spec.num_buyers
    price = float(rules["reserve"])
    for _ in range(bids if len(limits) > 1 else 0):
        if price >= limits[-2]:
            break
        price += max(price * rules["min_increment_bps"] / BPS, 1.0)
    if spec.num_buyers < 2 or price >= limits[-2]:
        return []
    return [
        f"The auction ends before the buyers' limits: {bids} bids of at least "
        f"{rules['min_increment_bps'] / 100:g} % from the reserve of {rules['reserve']:,} reach "
        f"{price:,.0f}, the second limit is {limits[-2]:,}; so who speaks last wins."
    ]
