"""Whether money and rules make sense together, and whether the auction can come to its end."""

from typing import Any

import numpy as np

from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.money import INT_MAX, largest
from d2m_jax.ledger import DEFAULT_RULES, check_rules, check_supply
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.bidding import Bidding

BY_BUYER = ("buyer_values", "buyer_shading_bps")


def check_money(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for money or rules that make no sense."""
    money: Any = hparams.money
    rules: dict[str, Any] = {**DEFAULT_RULES, **hparams.rules}
    check_rules({**rules, "num_rounds": spec.num_rounds})
    check_entries(spec, hparams)
    most = largest()
    for name in BY_BUYER:
        for value in getattr(money, name):
            if not isinstance(value, int) or not 0 <= value <= most:
                raise ValueError(f"money.{name} holds {value!r}, which is no amount of units")
    check_conduct(spec, money.buyer_conduct)
    if money.seller_ask < 0:
        raise ValueError(f"money.seller_ask must not be negative, not {money.seller_ask}")
    if not 0 <= money.seller_max_tau_bps <= BPS:
        raise ValueError(
            f"money.seller_max_tau_bps must lie in [0, {BPS}], not {money.seller_max_tau_bps}"
        )
    windows = ("auction_window", "reveal_window", "challenge_window", "timeout")
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
        np.full(spec.num_listings, money.seller_funds, object),
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


def check_conduct(spec: Spec, conduct: tuple[Any, ...]) -> None:
    """Raises a ValueError, one sentence, for codes that are not one `Bidding` per buyer."""
    if len(conduct) not in (0, spec.num_buyers):
        raise ValueError(
            f"money.buyer_conduct has {len(conduct)} entries for num_buyers = {spec.num_buyers}"
        )
    for code in conduct:
        if code not in list(Bidding):
            known = ", ".join(f"{int(kind)} {kind.name.lower()}" for kind in Bidding)
            raise ValueError(f"money.buyer_conduct holds {code!r}; there are: {known}")


def check_entries(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError, one sentence, unless there is an entry for every buyer."""
    for name in BY_BUYER:
        found = len(getattr(hparams.money, name))
        if found != spec.num_buyers:
            raise ValueError(f"money.{name} has {found} entries for num_buyers = {spec.num_buyers}")


def auction_warnings(spec: Spec, hparams: HParams) -> list[str]:
    """Whether the steps of an ascending auction reach the second highest limit in its blocks."""
    if spec.auction != "ascending":
        return []
    rules: dict[str, Any] = {**DEFAULT_RULES, **hparams.rules}
    values = zip(hparams.money.buyer_values, hparams.money.buyer_shading_bps)
    limits = sorted(value * shading // BPS for value, shading in values)
    bids = spec.num_blocks * spec.num_buyers
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
