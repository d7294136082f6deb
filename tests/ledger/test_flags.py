"""The ledger under JAX's flags: it keeps its types and the same units whatever is set.

New money is int64 where there are 64 bits: see also `test_wide_money.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.core import money
from tests.ledger.test_machine import LAWS
from tests.ledger.worlds import LAYOUT, RULES, challenged, decided, matched, trained
from tests.under_flags import FLAGS, assert_same, run, under

WORLD = challenged().ledger
CHAIN = L.Chain(WORLD, L.new_chain(LAYOUT, buyer_funds=1, seller_funds=1, node_funds=1).votes)
AMOUNTS = jnp.array([0, 9_999, 10_001, 2**31 - 1], jnp.int32)
BPS = jnp.array([1, 10_000, 123, 9_999], jnp.int32)


def transition(kind):
    """One action of a kind with a payload, on a job whose metric is reported."""

    def act(chain, amount):
        action = L.make_action(
            LAYOUT, kind, actor=LAYOUT.node(0), amount=amount, tags=3, value=1, payload=[1, 0, 1]
        )
        return L.apply(chain, LAWS, action)

    return act


def direct(name, **options):
    return lambda ledger, amount: L.TRANSITIONS[name](ledger, RULES, **options)


BOOKED = {
    "book_round": matched(),
    "book_verification": trained(),
    "book_dispute": challenged().dispute(0),
}
CALLS = {
    "mul_bps": (money.mul_bps, AMOUNTS, BPS),
    "mul_div": (money.mul_div, AMOUNTS, BPS, jnp.full(4, 2**31 - 1, jnp.int32)),
    "scaled_amount": (money.scaled_amount, AMOUNTS, BPS * 20),
    "split_pot": (money.split_pot, jnp.int32(999_983), BPS),
    "new_ledger": (
        lambda funds: L.new_ledger(LAYOUT, buyer_funds=funds, seller_funds=funds, node_funds=7),
        jnp.int32(5),
    ),
    "make_rules": (lambda reserve: L.make_rules(reserve=reserve), jnp.int32(5)),
    "invariants": (lambda ledger: L.invariants(ledger, ledger), WORLD),
    "money_by_role": (L.money_by_role, WORLD),
    "eligible": (
        lambda ledger: (
            L.eligible_nodes(ledger, RULES),
            L.eligible_sellers(ledger, RULES, 3, pool=9, tau_bps=9, since=1),
        ),
        WORLD,
    ),
    "minimum_bid": (lambda ledger: L.minimum_bid(ledger, RULES, 1, 2), WORLD),
    "commitment_of": (
        lambda x: L.commitment_of(
            job=0, buyer=x, amount=x, tau_bps=x, model=x, metric=x, salt=-x
        ),
        jnp.int32(4),
    ),
    "gas": (lambda n: (L.gas_of_job(n, num_sellers=9), L.gas_of(n, num_nodes=n)), jnp.int32(4)),
    "settle": (direct("settle", actor=0, job=0), WORLD, jnp.int32(0)),
    "register_seller": (
        direct("register_seller", actor=3, tags=1, size=2, commitment=3, deposit=1_000),
        L.new_ledger(LAYOUT, buyer_funds=9, seller_funds=2_000, node_funds=9),
        jnp.int32(0),
    ),
    "open_dispute": (direct("open_dispute", actor=2, job=0, unit=1), WORLD, jnp.int32(0)),
    **{
        name: (
            lambda ledger, decision, name=name: L.TRANSITIONS[name](
                ledger, RULES, actor=0, job=0, decision=decision
            ),
            world.ledger,
            decided(world, [11, 22, 0, None, 22], accepted=22, metric=7),
        )
        for name, world in BOOKED.items()
    },
}  # fmt: skip


@pytest.mark.few(1, each="call", rest="long")
@pytest.mark.parametrize("flag", FLAGS[1:])
@pytest.mark.parametrize("call", CALLS)
def test_a_flag_changes_nothing(call, flag):
    fn, *args = CALLS[call]
    if flag == "x64" and call in MAKES_MONEY:
        assert_wider(run("plain", fn, *args), run(flag, fn, *args))
    else:
        assert_same(flag, fn, *args)


MAKES_MONEY = ("new_ledger", "make_rules")


def assert_wider(small, large):
    """The same values; what is in units is int64, all else as it was."""
    for one, other in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        np.testing.assert_array_equal(one, other)
        assert other.dtype in (one.dtype, np.int64)
    money = [large.balances, large.jobs.bids] if hasattr(large, "jobs") else [large.node_stake]
    assert {leaf.dtype for leaf in money} == {np.dtype(np.int64)}


@pytest.mark.few(1)
@pytest.mark.parametrize("flag", ["x64", "strict", "rank"])
def test_a_trace_of_every_kind_keeps_its_types(flag):
    """Traced only: every branch of the machine, with gas read off its receipts."""

    def play(chain):
        kinds = jnp.arange(len(L.Kind), dtype=jnp.int32)
        actions = jax.vmap(lambda kind: L.make_action(LAYOUT, kind, actor=2, payload=[1]))(kinds)
        after, receipts = L.run_trace(chain, LAWS, actions)
        return after, receipts, L.gas_spent(LAYOUT, actions, receipts)

    with under(flag):
        after, receipts, gas = jax.eval_shape(play, CHAIN)
    assert receipts.dtype == jnp.int32 and gas.dtype == jnp.float32
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(CHAIN), strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", [L.Kind.SETTLE, L.Kind.WAIT, L.Kind.BOOK_DISPUTE, L.Kind.DRAW])
def test_the_machine_runs_without_compilation(kind):
    act = transition(kind)
    plain, eager = (run(flag, act, CHAIN, jnp.int32(3)) for flag in ("plain", "eager"))
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(eager), strict=True):
        np.testing.assert_array_equal(one, other)


@jax.enable_x64(False)
def test_a_supply_past_int32_is_refused_where_it_is_known_and_never_conserved():
    funds = {"buyer_funds": 2_000_000_000, "seller_funds": 400_000_000, "node_funds": 1}
    with pytest.raises(ValueError, match="money supply is 7600000005 units"):
        L.new_ledger(LAYOUT, **funds)
    # one fund traced: what is known is still too much
    with pytest.raises(ValueError, match="must stay below"):
        jax.eval_shape(lambda x: L.new_ledger(LAYOUT, **{**funds, "node_funds": x}), 1)
    wrapped = jax.jit(lambda x: L.new_ledger(LAYOUT, **{k: v * x for k, v in funds.items()}))
    facts = L.invariants(wrapped(jnp.int32(1)))
    assert not bool(facts["conserved"])
    assert all(bool(fact) for name, fact in facts.items() if name != "conserved")
    # the wrapped supply is negative (3.2e9) or a small positive number (2**32 + 5)
    for total in (3_200_000_000, 2**32 + 5):
        each = [total // 3] * 2 + [total - 2 * (total // 3)]
        build = jax.jit(
            lambda x: L.new_ledger(
                LAYOUT, buyer_funds=x, seller_funds=0 * x[0], node_funds=0 * x[0]
            )
        )
        assert not bool(L.invariants(build(jnp.asarray(each, jnp.int32)))["conserved"])
    most = np.array([2**31 - 1, 0, 0])
    full = L.new_ledger(LAYOUT, buyer_funds=most, seller_funds=0, node_funds=0)
    assert bool(L.invariants(full)["conserved"])


def test_votes_and_books_speak_of_the_same_outcomes():
    from d2m_jax import cone

    assert L.Outcome is cone.Outcome
