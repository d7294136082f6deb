"""What a ruling moves: who is guilty loses, who was right is made whole, who worked is paid.

Part of `disputes.resolve_dispute`, whose docstring says it in order. Read next: `audit.py`.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_bps, split_pot
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.accounts import credit, pay_many
from d2m_jax.ledger.codes import Finding, Ruling
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.settlement import round_money, slash_pledges
from d2m_jax.ledger.state import Jobs, Ledger


class Guilt(NamedTuple):
    """Who is guilty, and what it loses of its pledge."""

    nodes: jax.Array  # [C] bool
    sellers: jax.Array  # [N] bool
    of_nodes: jax.Array  # [C] int32
    of_sellers: jax.Array  # [N] int32

    def total(self) -> jax.Array:
        """[] int32: all of it."""
        return self.of_nodes.sum(dtype=jnp.int32) + self.of_sellers.sum(dtype=jnp.int32)


def guilt_of(
    ledger: Ledger, rules: Rules, row: Jobs, findings: jax.Array, ruling: jax.Array
) -> Guilt:
    """The accused and the nodes found GUILTY; nobody when the dispute is rejected."""
    layout, stands = ledger.layout, ruling != Ruling.REJECTED
    accounts = jnp.arange(layout.num_accounts, dtype=jnp.int32)
    is_accused = (accounts == row.accused) & stands
    known = ledger.registered[layout.nodes]
    nodes = known & ((stands & (findings == Finding.GUILTY)) | is_accused[layout.nodes])
    sellers = row.matched & is_accused[layout.sellers]
    return Guilt(
        nodes,
        sellers,
        jnp.where(nodes, mul_bps(row.pledged, rules.slash_wrong_bps), 0),
        jnp.where(sellers, mul_bps(row.locked, rules.slash_harm_bps), 0),
    )


def amend(row: Jobs, rules: Rules, findings: jax.Array, guilt: Guilt, ruling: jax.Array) -> Jobs:
    """The job without what the guilty lose; what they had earned goes to who was outvoted."""
    outcomes = jnp.where(guilt.nodes, Outcome.NOT_DRAWN, findings)
    pledged, held = slash_pledges(row, rules, outcomes)
    outvoted = (findings == Finding.OUTVOTED) & ~guilt.nodes & (ruling != Ruling.REJECTED)
    lost = jnp.where(guilt.nodes, row.earned, 0)
    forfeited = lost.sum(dtype=jnp.int32)
    owed = jnp.where(outvoted, row.missed, 0)
    given = split_pot(jnp.minimum(owed.sum(dtype=jnp.int32), forfeited), owed)
    return replace(
        row,
        pledged=pledged - guilt.of_nodes + jnp.where(outvoted, held, 0),
        held=jnp.where(outvoted, 0, held),
        earned=row.earned - lost + given,
        missed=row.missed - owed,
        compute_pool=row.compute_pool + forfeited - given.sum(dtype=jnp.int32),
        locked=row.locked - guilt.of_sellers,
        excluded=row.excluded | guilt.sellers,
    )


def spend(
    ledger: Ledger, rules: Rules, row: Jobs, findings: jax.Array, guilt: Guilt, ruling: jax.Array
) -> Ledger:
    """What the guilty lose, or a lost bond, to those who worked, the fire, the disputer, the buyer.

    Args:
        ledger: before.
        rules: terms.
        row: after `amend`, with the bond still in it.
        findings: [C].
        guilt: who loses what.
        ruling: [] see `Ruling`.
    """
    layout, rejected = ledger.layout, ruling == Ruling.REJECTED
    left = jnp.where(rejected, row.bond, guilt.total())
    matching = ledger.registered[layout.nodes] & ~ledger.banned[layout.nodes] & ~guilt.nodes
    matching &= findings == Finding.MATCHED
    number = matching.sum(dtype=jnp.int32)
    budget = jnp.minimum(round_money(row, rules), left)
    reward = jnp.minimum(rules.reward_cap, budget // jnp.maximum(number, 1))
    left -= reward * number
    work = jnp.minimum(left, mul_bps(row.seller_pool, rules.work_bps))
    work = jnp.where(ruling == Ruling.UPHELD, work, 0)
    work_pay = split_pot(work, jnp.where(row.excluded, 0, row.weights))
    left -= work_pay.sum(dtype=jnp.int32)
    share = jnp.minimum(mul_bps(guilt.total(), rules.burn_bps), left)
    burned = jnp.where(rejected, left, share)
    left -= burned
    prize = jnp.minimum(left, row.bond)
    new = pay_many(ledger, layout.nodes.start, jnp.where(matching, reward, 0))
    new = pay_many(new, layout.sellers.start, work_pay)
    new = credit(credit(new, row.disputer, prize), row.buyer, left - prize)
    nobody = jnp.zeros(1, bool)
    buyers = jnp.zeros(layout.num_buyers, bool)
    barred = jnp.concatenate([buyers, guilt.sellers, guilt.nodes, nobody])
    return replace(new, burned=new.burned + burned, banned=new.banned | barred)
