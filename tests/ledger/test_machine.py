"""The machine as a whole: actions as data, compilation, batches, genesis, rules."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.tables import vote_tables
from d2m_jax.core.money import largest, money_type
from d2m_jax.ledger.machine import check_laws
from d2m_jax.ledger.votes_state import make_terms
from tests.ledger.model import mix
from tests.ledger.worlds import (
    LAYOUT,
    METRIC,
    RULES,
    WEIGHTS,
    World,
    challenged,
    content_of,
    matched,
    open_rules,
    same,
)

FUNDS = {"buyer_funds": 10_000, "seller_funds": 2_000, "node_funds": 3_000}
TERMS = make_terms(vote_tables(5, ConeParams(base=4, beta=0.3), max_attempts=3), num_rounds=2)
LAWS = L.Laws(RULES, TERMS)
MILD = open_rules(slash_wrong_bps=5_000)  # who was wrong once still has a seat
ROUND = [0, 0, 7, 0, 0, *[0] * 8]
VERIFIED = [9_100, 0, 0, mix(*METRIC.values()), 0, *WEIGHTS, *[0] * 4]
HONEST, MIXED = [True] * 5, [True, True, True, False, None]  # right, wrong, silent

apply = jax.jit(chex.assert_max_traces(L.apply, n=1))  # one compilation for all tests here
run_trace = jax.jit(chex.assert_max_traces(L.run_trace, n=1))


def digests(content, votes):
    """What each node reveals: the digest of the content, another one, or nothing (0)."""
    return [mix(*content) if right else 9 if right is not None else 0 for right in votes]


def a_unit(serial, content, votes, book):
    """Actions of a unit in which all nodes have a seat, from its opening to its booking."""
    told = [(node, digest) for node, digest in enumerate(digests(content, votes)) if digest]
    promises = [mix(0, serial, 1, node, digest, 5) for node, digest in told]
    return [
        dict(kind=L.Kind.OPEN_UNIT),
        dict(kind=L.Kind.DRAW, payload=[1] * 5),
        *(
            dict(kind=L.Kind.COMMIT_VOTE, actor=7 + node, value=promise)
            for (node, _), promise in zip(told, promises)
        ),
        dict(kind=L.Kind.WAIT, amount=1),
        *(
            dict(kind=L.Kind.REVEAL_VOTE, actor=7 + node, value=digest, extra=[5])
            for node, digest in told
        ),
        dict(kind=L.Kind.WAIT, amount=1),
        dict(kind=L.Kind.TALLY),
        dict(kind=L.Kind.OPEN_CONTENT, payload=content),
        dict(kind=book),
    ]


def a_whole_job(*end):
    """A job as in `test_settlement`, voted on, as actions; and what follows on it."""
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
        *a_unit(1, ROUND, MIXED, L.Kind.BOOK_ROUND),
        *a_unit(2, ROUND, HONEST, L.Kind.BOOK_ROUND),
        dict(kind=L.Kind.OPEN_METRIC, actor=2, value=METRIC["content"], extra=[METRIC["salt"]]),
        *a_unit(3, VERIFIED, HONEST, L.Kind.BOOK_VERIFICATION),
    ]
    actions = [L.make_action(LAYOUT, **fields) for fields in (*sellers, *nodes, *bids, *rest, *end)]
    return jax.tree.map(lambda *x: jnp.stack(x), *actions)


def directly():
    """The same job by its transitions, its decisions made by hand."""
    world = matched(rules=MILD)
    for content, votes, book in (
        (ROUND, MIXED, "book_round"),
        (ROUND, HONEST, "book_round"),
        (VERIFIED, HONEST, "book_verification"),
    ):
        if book == "book_verification":
            world("open_metric", actor=2, job=0, **METRIC)
        told = {"accepted": mix(*content), "since": world.ledger.block, "drawn": [True] * 5}
        world("wait", blocks=2)
        world.book(book, papers=digests(content, votes), content=np.asarray(content), **told)
    return world


def test_a_trace_of_actions_equals_the_transitions_called_directly():
    after, receipts = run_trace(L.new_chain(LAYOUT, **FUNDS), L.Laws(MILD, TERMS), a_whole_job())
    assert not np.asarray(receipts).any()
    assert same(after.ledger, directly().ledger)
    assert np.asarray(after.ledger.jobs.held)[0].tolist() == [0, 0, 0, 500, 100]


def test_what_the_tests_say_of_a_content_is_what_the_votes_accept():
    """`content_of` and the hand-written words of this file are the same."""
    world = matched()
    assert np.asarray(content_of(world)).tolist() == ROUND
    world.round().round()("open_metric", actor=2, job=0, **METRIC)
    assert np.asarray(content_of(world, metric=9_100, sellers=WEIGHTS)).tolist() == VERIFIED


def test_apply_compiles_once():
    start = L.new_chain(LAYOUT, **FUNDS)
    for kind in (*L.Kind, -1, 99):
        for rules in (RULES, L.make_rules(num_rounds=7, burn_bps=1)):
            action = L.make_action(LAYOUT, kind, actor=np.int64(3), amount=5, payload=[1, 2])
            _, receipt = apply(start, L.Laws(rules, TERMS), action)
    assert int(receipt) == L.Reason.UNKNOWN_ACTION


def test_rules_and_worlds_are_batched():
    """One vmap over burn shares, bonds and funds; each row equals the world alone."""
    burns, bonds, funds = [0, 2_500, 10_000], [0, 500, 999], [9_000, 1_001, 5_000]
    changed = [{"burn_bps": x, "bond_bps": y} for x, y in zip(burns, bonds)]
    laws = [L.Laws(open_rules(slash_wrong_bps=5_000, **each), TERMS) for each in changed]
    starts = [L.new_chain(LAYOUT, **{**FUNDS, "buyer_funds": x}) for x in funds]
    stacked = [jax.tree.map(lambda *x: jnp.stack(x), *each) for each in (starts, laws)]
    job = a_whole_job(dict(kind=L.Kind.WAIT, amount=10), dict(kind=L.Kind.SETTLE))
    many, _ = jax.jit(jax.vmap(L.run_trace, in_axes=(0, 0, None)))(*stacked, job)
    L.assert_valid(many.ledger)
    alone_of = jax.jit(L.run_trace)
    for i in range(3):
        alone, _ = alone_of(starts[i], laws[i], job)
        assert same(alone, jax.tree.map(lambda x, i=i: x[i], many))
    assert np.asarray(many.ledger.jobs.price)[:, 0].tolist() == [900] * 3
    # Of 600 slashed the nodes get as much as the 225 that they have earned, or what is not burned.
    assert np.asarray(many.ledger.burned).tolist() == [375, 375, 600]


def test_strict_dtypes():
    with jax.numpy_dtype_promotion("strict"):
        start = L.new_chain(LAYOUT, **FUNDS)
        after = jax.eval_shape(L.run_trace, start, LAWS, a_whole_job())[0]
        facts = jax.eval_shape(L.invariants, after.ledger, start.ledger)
    assert all(fact.dtype == jnp.bool_ for fact in facts.values())
    for leaf in jax.tree.leaves(after):
        assert leaf.dtype in (jnp.int32, jnp.bool_, money_type())


def test_a_refused_action_changes_nothing_and_says_why():
    world = challenged()
    chain = L.Chain(world.ledger, L.new_chain(LAYOUT, **FUNDS).votes)
    after, receipt = apply(chain, LAWS, L.make_action(LAYOUT, L.Kind.SETTLE, actor=0))
    assert same(after, chain)
    assert L.describe(receipt) == "TOO_EARLY: the waiting time is not over"
    for reason in L.Reason:
        assert L.describe(reason).startswith(reason.name)


@pytest.mark.few(2)
@pytest.mark.parametrize("kind", range(L.Kind.OPEN_UNIT, len(L.Kind)))
def test_who_is_no_account_does_nothing_in_a_vote(kind):
    chain = L.new_chain(LAYOUT, **FUNDS)
    for stranger in (-1, LAYOUT.num_accounts):
        after, receipt = apply(chain, LAWS, L.make_action(LAYOUT, kind, actor=stranger, job=99))
        assert int(receipt) == L.Reason.UNKNOWN_PARTY and same(after, chain)


@pytest.mark.parametrize("kind", [L.Kind.COMMIT_VOTE, L.Kind.REVEAL_VOTE])
def test_only_nodes_vote(kind):
    for actor in (0, 3, LAYOUT.treasury):
        action = L.make_action(LAYOUT, kind, actor=actor, job=99)
        _, receipt = apply(L.new_chain(LAYOUT, **FUNDS), LAWS, action)
        assert int(receipt) == L.Reason.UNKNOWN_PARTY


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"num_rounds": 1}, "must be for 1 rounds, got 2"),
        ({"content_window": 3}, "content_window must be more than the 3 blocks"),
    ],
)
def test_laws_that_do_not_go_together_are_refused(rules, says):
    terms = dataclasses.replace(TERMS, commit_window=jnp.int32(2))
    with pytest.raises(ValueError, match=says):
        check_laws(LAYOUT, L.Laws(open_rules(**rules), terms))
    check_laws(LAYOUT, L.Laws(RULES, terms))
    check_laws(LAYOUT, L.Laws(open_rules(num_rounds=50), terms))  # the layout has two
    with pytest.raises(ValueError, match="who draws votes alone"):
        check_laws(LAYOUT, LAWS)


def test_genesis():
    layout = L.Layout(2, 3, 4, 5, 6)
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
        ({"buyer_funds": largest() // 2}, r"below 2\*\*(31|63)"),
        ({"node_funds": -1}, "negative"),
        ({"node_funds": 10.5}, "whole numbers"),
        ({"seller_funds": [1, 2, 3, largest()]}, r"below 2\*\*(31|63)"),
    ],
)
def test_impossible_funds_are_refused(funds, says):
    with pytest.raises(ValueError, match=says):
        L.new_ledger(LAYOUT, **{**FUNDS, **funds})


def test_the_largest_supply_is_accepted():
    start = L.new_ledger(LAYOUT, buyer_funds=[largest() - 1, 1, 0], seller_funds=0, node_funds=0)
    assert int(start.supply) == largest()
    L.assert_valid(start)


def test_impossible_layouts_are_refused():
    few = L.Layout(1, 1, 1, num_units=1)  # no round and a verification
    for layout in (L.Layout(1, 1, 1, 0), L.Layout(-1, 1, 1), L.Layout(1, 70_000, 1), few):
        with pytest.raises(ValueError, match="impossible layout"):
            L.new_ledger(layout, **FUNDS)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"fee": 3}, "unknown rule 'fee'; valid names: sealed"),
        ({"burn_bps": 10_001}, r"burn_bps must lie in \[0, 10000\], got 10001"),
        ({"reserve": 0}, r"reserve must lie in \[1,"),
        ({"min_nodes": 0}, r"min_nodes must lie in \[1,"),
        ({"by_stake": 2}, r"by_stake must lie in \[0, 1\]"),
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
