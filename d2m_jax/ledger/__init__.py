"""The ledger: accounts, registry, auctions, escrow, deposits, disputes, settlement. Integers only.

Read first: `state.py` (what there is), `codes.py` (phases, receipts), then `machine.py`.
"""

from collections.abc import Callable

from d2m_jax.core.money import INT_MAX, mul_bps, mul_div, split_pot
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.auction import bid, close_auction, minimum_bid
from d2m_jax.ledger.audit import assert_valid, invariants, money_by_role, wealth
from d2m_jax.ledger.batches import register_nodes, register_sellers, slash_sellers
from d2m_jax.ledger.codes import Finding, Kind, Phase, Reason, Ruling, Verdict, describe
from d2m_jax.ledger.disputes import open_dispute, resolve_dispute
from d2m_jax.ledger.escrow import advance, reset_job, time_out
from d2m_jax.ledger.gas import GAS, gas_of, gas_of_job, gas_of_round, gas_spent
from d2m_jax.ledger.machine import Action, apply, make_action, run_trace
from d2m_jax.ledger.offers import open_metric, take
from d2m_jax.ledger.registry import (
    ban,
    eligible_nodes,
    eligible_sellers,
    pledged_nodes,
    register_node,
    register_seller,
    request_withdrawal,
    set_ask,
    top_up,
    withdraw,
)
from d2m_jax.ledger.rules import DEFAULT_RULES, Rules, check_rules, make_rules
from d2m_jax.ledger.seals import commitment_of, digest_of, reveal, seal
from d2m_jax.ledger.settlement import (
    rate_sellers,
    report_metric,
    settle,
    settle_round,
    slash_seller,
)
from d2m_jax.ledger.state import (
    MAX_WEIGHT,
    NOBODY,
    Jobs,
    Layout,
    Ledger,
    Result,
    check_supply,
    new_ledger,
)

__all__ = [
    "DEFAULT_RULES",
    "GAS",
    "INT_MAX",
    "MAX_WEIGHT",
    "NOBODY",
    "TRANSITIONS",
    "Action",
    "Finding",
    "Jobs",
    "Kind",
    "Layout",
    "Ledger",
    "Outcome",
    "Phase",
    "Reason",
    "Result",
    "Rules",
    "Ruling",
    "Verdict",
    "advance",
    "apply",
    "assert_valid",
    "ban",
    "bid",
    "check_rules",
    "check_supply",
    "close_auction",
    "commitment_of",
    "describe",
    "digest_of",
    "eligible_nodes",
    "eligible_sellers",
    "gas_of",
    "gas_of_job",
    "gas_of_round",
    "gas_spent",
    "invariants",
    "make_action",
    "make_rules",
    "minimum_bid",
    "money_by_role",
    "mul_bps",
    "mul_div",
    "new_ledger",
    "open_dispute",
    "open_metric",
    "pledged_nodes",
    "rate_sellers",
    "register_node",
    "register_nodes",
    "register_seller",
    "register_sellers",
    "report_metric",
    "request_withdrawal",
    "reset_job",
    "resolve_dispute",
    "reveal",
    "run_trace",
    "seal",
    "set_ask",
    "settle",
    "settle_round",
    "slash_seller",
    "slash_sellers",
    "split_pot",
    "take",
    "time_out",
    "top_up",
    "wealth",
    "withdraw",
]

# Every transition by the name of its `Kind` in lower case, for those who walk over all of them.
TRANSITIONS: dict[str, Callable[..., Result]] = {
    "wait": advance,
    "register_seller": register_seller,
    "register_node": register_node,
    "top_up": top_up,
    "request_withdrawal": request_withdrawal,
    "withdraw": withdraw,
    "ban": ban,
    "set_ask": set_ask,
    "bid": bid,
    "seal": seal,
    "reveal": reveal,
    "close_auction": close_auction,
    "settle_round": settle_round,
    "rate_sellers": rate_sellers,
    "slash_seller": slash_seller,
    "report_metric": report_metric,
    "open_dispute": open_dispute,
    "resolve_dispute": resolve_dispute,
    "settle": settle,
    "time_out": time_out,
    "reset_job": reset_job,
    "take": take,
    "open_metric": open_metric,
}
