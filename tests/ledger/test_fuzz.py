"""Thousands of random traces through the ledger and through the slow model: they must agree."""

import re
from collections import Counter

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.traces import (
    LAYOUT,
    batch,
    genesis,
    random_action,
    random_world,
    seeded_draw,
    typed,
)
from tests.ledger.worlds import same

NUM_TRACES, NUM_STEPS = 2_000, 40


def run(ledger, rules, actions):
    """The last ledger and, after every action, its receipt, all invariants, and the money."""

    def step(before, action):
        after, reason = L.apply(before, rules, action)
        facts = jnp.stack(list(L.invariants(after, before).values()))
        money = [after.balances, after.stakes, after.burned[None], after.block[None]]
        refused_moved_nothing = jnp.all(
            jnp.stack(
                [
                    jnp.all(new == old)
                    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(before))
                ]
            )
        )
        quiet = (reason == L.Reason.OK) | refused_moved_nothing
        money = jnp.concatenate([*money, after.jobs.phase])
        return after, (reason, jnp.append(facts, quiet), money)

    return jax.lax.scan(step, ledger, actions)


run_one = jax.jit(run)
run_many = jax.jit(jax.vmap(run))


@pytest.fixture(scope="module")
def played():
    """All traces, played by both machines."""
    rows, rules, funds, receipts, money, ends = [], [], [], [], [], []
    for seed in range(NUM_TRACES):
        draw = seeded_draw(seed)
        model, fund = random_world(draw)
        row, reasons, moneys = [], [], []
        for _ in range(NUM_STEPS):
            action = random_action(draw, model)
            row.append(action)
            reasons.append(int(model.act(*action)))
            moneys.append(model.money_now())
        rows.append(row)
        rules.append(model.rules)
        funds.append(fund)
        receipts.append(reasons)
        money.append(moneys)
        ends.append(model.everything())
    actions = batch(rows)
    ledgers = jax.jit(jax.vmap(genesis))(np.asarray(funds, np.int32))
    last, (reasons, facts, moved) = jax.device_get(run_many(ledgers, typed(rules), actions))
    return {
        **{"actions": actions, "receipts": np.asarray(receipts), "money": np.asarray(money)},
        **{"ends": ends, "last": last, "reasons": reasons, "facts": facts, "moved": moved},
        **{"ledgers": ledgers, "rules": typed(rules)},
    }


def test_invariants_hold_after_every_action(played):
    names = [*L.invariants(L.new_ledger(LAYOUT, buyer_funds=1, seller_funds=1, node_funds=1))]
    assert "conserved" in names and played["facts"].shape[:2] == (NUM_TRACES, NUM_STEPS)
    where = np.argwhere(~played["facts"])
    assert where.size == 0, where[:5]


def test_every_receipt_agrees_with_the_model(played):
    where = np.argwhere(played["reasons"] != played["receipts"])
    assert where.size == 0, [
        (
            tuple(w),
            L.Kind(int(played["actions"].kind[tuple(w)])).name,
            L.Reason(int(played["reasons"][tuple(w)])).name,
            L.Reason(int(played["receipts"][tuple(w)])).name,
        )
        for w in where[:5]
    ]


def test_money_and_phases_agree_with_the_model_after_every_action(played):
    where = np.argwhere(played["moved"] != played["money"])
    assert where.size == 0, where[:5]


def test_the_whole_state_agrees_with_the_model_at_the_end(played):
    last = played["last"]
    flat = {**vars(last), **{f"jobs.{k}": v for k, v in vars(last.jobs).items()}}
    names = set(flat) - {"jobs", "num_nodes", "supply"}
    assert names == set(played["ends"][0])
    for name in names:
        expected = np.asarray([end[name] for end in played["ends"]])
        np.testing.assert_array_equal(flat[name], expected, err_msg=name)


def test_the_traces_reach_every_phase_and_every_documented_refusal(played):
    """Also: no transition gives a receipt that its docstring does not list."""
    seen = Counter(zip(played["actions"].kind.ravel().tolist(), played["reasons"].ravel().tolist()))
    for kind in L.Kind:
        checks = L.TRANSITIONS[kind.name.lower()].__doc__.split("Checks")[1].split("Args:")[0]
        listed = {reason for reason in L.Reason if re.search(rf"\b{reason.name}\b", checks)}
        got = {L.Reason(reason) for k, reason in seen if k == kind}
        assert got == listed | {L.Reason.OK}, (kind, listed - got)
        assert seen[kind, L.Reason.OK] >= 50, kind
    assert set(np.unique(played["moved"][..., -LAYOUT.num_jobs :])) == set(L.Phase)


def test_vmap_is_a_loop_bit_for_bit(played):
    """40 of the traces one by one, and through `run_trace`."""
    trace = jax.jit(L.run_trace)
    for i in range(0, NUM_TRACES, NUM_TRACES // 40):
        ledger, rules, actions, last = (
            jax.tree.map(lambda x, i=i: np.asarray(x)[i], played[name])
            for name in ("ledgers", "rules", "actions", "last")
        )
        alone, reasons = trace(ledger, rules, actions)
        assert same(alone, last)
        np.testing.assert_array_equal(reasons, played["reasons"][i])


@hypothesis.given(st.integers(0, 9_999), st.lists(st.integers(0, 9_999), min_size=1, max_size=24))
@hypothesis.settings(max_examples=60)
def test_hypothesis_traces_agree_with_the_model(world, steps):
    """The same generator driven by hypothesis, so that a disagreement shrinks to a few actions."""
    model, funds = random_world(seeded_draw(world))
    row, receipts, moneys = [], [], []
    for seed in steps:
        action = random_action(seeded_draw(seed), model)
        row.append(action)
        receipts.append(int(model.act(*action)))
        moneys.append(model.money_now())
    idle = (int(L.Kind.WAIT), 0, 0, 0, 0, 0, 0, [0] * 3, [0] * LAYOUT.payload_size)
    actions = jax.tree.map(lambda x: x[0], batch([row + [idle] * (24 - len(row))]))
    rules = jax.tree.map(lambda x: x[0], typed([model.rules]))
    ledger = genesis(np.asarray(funds, np.int32))
    _, (reasons, facts, moved) = run_one(ledger, rules, actions)
    assert np.asarray(reasons)[: len(row)].tolist() == receipts
    assert np.asarray(facts).all()
    assert np.asarray(moved)[: len(row)].tolist() == moneys
