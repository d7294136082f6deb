"""The machine as a whole: actions as data, compilation, batches, genesis, rules."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import ARBITER, LAYOUT, METRIC, RULES, World, challenged, open_rules, same

FUNDS = {"buyer_funds": 10_000, "seller_funds": 2_000, "node_funds": 3_000}

apply = jax.jit(chex.assert_max_traces(L.apply, n=1))  # one compilation for all tests here
run_trace = jax.jit(chex.assert_max_traces(L.run_trace, n=1))


def a_whole_job(*end):
    """The job of `test_settlement` as a list of actions, and what follows on it."""
    sellers = [
        dict(
            kind=L.Kind.REGISTER_SELLER,
            actor=3 + i,
            tags=7,
            value=10,
            target=i,
            amount=1_000,
            extra=[0, 10_000],
        )
        for i in range(4)
    ]
    nodes = [dict(kind=L.Kind.REGISTER_NODE, actor=7 + i, amount=1_000) for i in range(5)]
    digest = L.digest_of(**METRIC)
    bids = [
        dict(kind=L.Kind.BID, actor=buyer, tags=3, amount=amount, value=9_000, extra=[0, digest])
        for buyer, amount in ((0, 500), (1, 900), (2, 1_001))
    ]
    rest = [
        dict(kind=L.Kind.WAIT, amount=20),
        dict(kind=L.Kind.CLOSE_AUCTION, actor=3),
        dict(kind=L.Kind.SETTLE_ROUND, actor=ARBITER, payload=[1, 1, 2, 3, 0]),
        dict(kind=L.Kind.SETTLE_ROUND, actor=ARBITER, payload=[1, 1, 0, 0, 1]),
        dict(kind=L.Kind.OPEN_METRIC, actor=2, value=METRIC["content"], extra=[METRIC["salt"]]),
        dict(kind=L.Kind.REPORT_METRIC, actor=ARBITER, amount=9_100, payload=[3, 1, 0, 5]),
    ]
    rest += end
    actions = [L.make_action(LAYOUT, **fields) for fields in sellers + nodes + bids + rest]
    return jax.tree.map(lambda *x: jnp.stack(x), *actions)


def test_a_trace_of_actions_equals_the_transitions_called_directly():
    start = L.new_ledger(LAYOUT, **FUNDS)
    after, receipts = run_trace(start, RULES, a_whole_job())
    assert not np.asarray(receipts).any()
    assert same(after, challenged().ledger)


def test_apply_compiles_once():
    start = L.new_ledger(LAYOUT, **FUNDS)
    for kind in (*L.Kind, -1, 99):
        for rules in (RULES, L.make_rules(num_rounds=7, burn_bps=1)):
            action = L.make_action(LAYOUT, kind, actor=np.int64(3), amount=5, payload=[1, 2])
            _, receipt = apply(start, rules, action)
    assert int(receipt) == L.Reason.UNKNOWN_ACTION


def test_rules_and_worlds_are_batched():
    """One vmap over prices, burn shares and funds; each row equals the world alone."""
    burns, bonds, funds = [0, 2_500, 10_000], [0, 500, 999], [9_000, 1_001, 5_000]
    rules = [open_rules(burn_bps=x, bond_bps=y) for x, y in zip(burns, bonds)]
    starts = [L.new_ledger(LAYOUT, **{**FUNDS, "buyer_funds": x}) for x in funds]
    stacked = [jax.tree.map(lambda *x: jnp.stack(x), *each) for each in (starts, rules)]
    job = a_whole_job(dict(kind=L.Kind.WAIT, amount=10), dict(kind=L.Kind.SETTLE))
    many, _ = jax.jit(jax.vmap(L.run_trace, in_axes=(0, 0, None)))(*stacked, job)
    L.assert_valid(many)
    for i in range(3):
        alone, _ = jax.jit(L.run_trace)(starts[i], rules[i], job)
        assert same(alone, jax.tree.map(lambda x, i=i: x[i], many))
    assert np.asarray(many.jobs.price)[:, 0].tolist() == [900] * 3
    # Slashed 1100: burned 0, 275 and all of it.
    assert np.asarray(many.burned).tolist() == [0, 275, 1_100]


def test_strict_dtypes():
    with jax.numpy_dtype_promotion("strict"):
        start = L.new_ledger(LAYOUT, **FUNDS)
        after = jax.eval_shape(L.run_trace, start, RULES, a_whole_job())[0]
        facts = jax.eval_shape(L.invariants, after, start)
    assert all(fact.dtype == jnp.bool_ for fact in facts.values())
    for leaf in jax.tree.leaves(after):
        assert leaf.dtype in (jnp.int32, jnp.bool_)


def test_a_refused_action_changes_nothing_and_says_why():
    world = challenged()
    action = L.make_action(LAYOUT, L.Kind.SETTLE, actor=0)
    after, receipt = apply(world.ledger, RULES, action)
    assert same(after, world.ledger)
    assert L.describe(receipt) == "TOO_EARLY: the waiting time is not over"
    for reason in L.Reason:
        assert L.describe(reason).startswith(reason.name)


def test_genesis():
    layout = L.Layout(2, 3, 4, 5)
    start = L.new_ledger(
        layout,
        buyer_funds=[1, 2],
        seller_funds=np.array([3, 4, 5]),
        node_funds=6,
        treasury_funds=7,
    )
    assert np.asarray(start.balances).tolist() == [1, 2, 3, 4, 5, 6, 6, 6, 6, 7]
    assert int(start.supply) == 1 + 2 + 3 + 4 + 5 + 24 + 7
    assert start.layout == layout and layout.treasury == 9
    assert [layout.seller(0), layout.node(3)] == [2, 8]
    L.assert_valid(start)


@pytest.mark.parametrize(
    ("funds", "says"),
    [
        ({"buyer_funds": 2**30}, r"below 2\*\*31"),
        ({"node_funds": -1}, "negative"),
        ({"node_funds": 10.5}, "whole numbers"),
        ({"seller_funds": [1, 2, 3, L.INT_MAX]}, r"below 2\*\*31"),
    ],
)
def test_impossible_funds_are_refused(funds, says):
    with pytest.raises(ValueError, match=says):
        L.new_ledger(LAYOUT, **{**FUNDS, **funds})


def test_the_largest_supply_is_accepted():
    start = L.new_ledger(LAYOUT, buyer_funds=[L.INT_MAX - 1, 1, 0], seller_funds=0, node_funds=0)
    assert int(start.supply) == L.INT_MAX
    L.assert_valid(start)


def test_impossible_layouts_are_refused():
    for layout in (L.Layout(1, 1, 1, 0), L.Layout(-1, 1, 1), L.Layout(1, 70_000, 1)):
        with pytest.raises(ValueError, match="impossible layout"):
            L.new_ledger(layout, **FUNDS)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"fee": 3}, "unknown rule 'fee'; valid names: sealed"),
        ({"burn_bps": 10_001}, r"burn_bps must lie in \[0, 10000\], got 10001"),
        ({"reserve": 0}, r"reserve must lie in \[1,"),
        ({"seller_bps": 9_600}, "seller_bps and fee_bps"),
        ({"timeout": 2.5}, "timeout must be a whole number, got 2.5"),
        ({"second_price": 2}, r"second_price must lie in \[0, 1\]"),
        ({"withdrawal_delay": 10}, "withdrawal_delay must be at least timeout"),
    ],
)
def test_impossible_rules_are_refused(rules, says):
    with pytest.raises(ValueError, match=says):
        L.make_rules(**rules)


def test_stacked_rules_are_checked():
    stacked = jax.tree.map(lambda *x: jnp.stack(x), RULES, RULES.replace(burn_bps=jnp.int32(-1)))
    with pytest.raises(ValueError, match="burn_bps"):
        L.check_rules(stacked)
    L.check_rules(RULES)


def test_blocks_do_not_wrap_around():
    world = World()("wait", blocks=L.INT_MAX)
    world("wait", L.Reason.BAD_VALUE, blocks=1)("wait", L.Reason.BAD_VALUE, blocks=-1)
    assert int(world.ledger.block) == L.INT_MAX
