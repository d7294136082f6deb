"""The ledger: accounts, registry, auctions, votes, bookings, disputes, settlement. Integers only.

Read first: `state.py` (what there is), `codes.py` (phases, receipts), then `machine.py`.
"""

from d2m_jax.core.money import INT_MAX, mul_bps, mul_div, split_pot
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.actions import Action, make_action
from d2m_jax.ledger.auction import bid, close_auction, minimum_bid
from d2m_jax.ledger.audit import assert_valid, invariants, money_by_role, wealth
from d2m_jax.ledger.batches import register_nodes, register_sellers
from d2m_jax.ledger.codes import Kind, Phase, Reason, Verdict, describe
from d2m_jax.ledger.decisions import Decision, decision_of, electorate, wanted
from d2m_jax.ledger.disputes import bond_of, book_dispute, open_dispute
from d2m_jax.ledger.escrow import advance, reset_job, time_out
from d2m_jax.ledger.gas import GAS, gas_of, gas_of_job, gas_of_round, gas_spent
from d2m_jax.ledger.judgement import judge, round_money
from d2m_jax.ledger.machine import Chain, Laws, apply, check_laws, new_chain, run_trace
from d2m_jax.ledger.moves import TRANSITIONS
from d2m_jax.ledger.offers import open_metric, take
from d2m_jax.ledger.registry import (
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
from d2m_jax.ledger.rounds import book_round
from d2m_jax.ledger.rules import DEFAULT_RULES, Rules, check_rules, make_rules
from d2m_jax.ledger.seals import commitment_of, digest_of, reveal, seal
from d2m_jax.ledger.settlement import settle
from d2m_jax.ledger.state import (
    MAX_WEIGHT,
    NOBODY,
    Jobs,
    Layout,
    Ledger,
    Result,
    check_supply,
    new_ledger,
    rounds_of,
)
from d2m_jax.ledger.verification import book_verification

__all__ = [
    "DEFAULT_RULES",
    "GAS",
    "INT_MAX",
    "MAX_WEIGHT",
    "NOBODY",
    "TRANSITIONS",
    "Action",
    "Chain",
    "Decision",
    "Jobs",
    "Kind",
    "Laws",
    "Layout",
    "Ledger",
    "Outcome",
    "Phase",
    "Reason",
    "Result",
    "Rules",
    "Verdict",
    "advance",
    "apply",
    "assert_valid",
    "bid",
    "bond_of",
    "book_dispute",
    "book_round",
    "book_verification",
    "check_laws",
    "check_rules",
    "check_supply",
    "close_auction",
    "commitment_of",
    "decision_of",
    "describe",
    "digest_of",
    "electorate",
    "eligible_nodes",
    "eligible_sellers",
    "gas_of",
    "gas_of_job",
    "gas_of_round",
    "gas_spent",
    "invariants",
    "judge",
    "make_action",
    "make_rules",
    "minimum_bid",
    "money_by_role",
    "mul_bps",
    "mul_div",
    "new_chain",
    "new_ledger",
    "open_dispute",
    "open_metric",
    "pledged_nodes",
    "register_node",
    "register_nodes",
    "register_seller",
    "register_sellers",
    "request_withdrawal",
    "reset_job",
    "reveal",
    "round_money",
    "rounds_of",
    "run_trace",
    "seal",
    "set_ask",
    "settle",
    "split_pot",
    "take",
    "time_out",
    "top_up",
    "wanted",
    "wealth",
    "withdraw",
]
