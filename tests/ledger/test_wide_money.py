"""Money of 64 bits: exact up to the last int64, the same units as with 32, refused without them.

All of it under 64 bits, without implicit promotion of types or ranks.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.core import money
from d2m_jax.ledger.audit import money_of, total
from tests.ledger.replay import imagine, run
from tests.ledger.traces import LAYOUT, batch, genesis, laws_of, seeded_draw

MOST = 2**63 - 1
SCALES = [10, 31, 32, 40, 50, 62]
NUM_TRACES, NUM_STEPS = 96, 120


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        yield


def numbers(rng, bits, size=200):
    """Whole numbers of all lengths below 2^bits, with the largest, as Python integers."""
    free = [int(rng.integers(0, 2**62)) >> int(rng.integers(62 - bits, 63)) for _ in range(size)]
    return [2**bits - 1, 0, *free]


@pytest.mark.parametrize("bits", SCALES)
def test_products_and_quotients_are_those_of_whole_numbers(bits):
    rng = np.random.default_rng(bits)
    amounts, others = numbers(rng, bits), numbers(rng, bits)
    tops, bottoms = zip(*(sorted((a, max(b, 1))) for a, b in zip(others, reversed(others))))
    bps, more = rng.integers(0, 10_001, 202), rng.integers(0, 200_001, 202)
    a, top, bottom = (jnp.asarray(x) for x in (amounts, tops, bottoms))
    found = money.mul_bps(a, jnp.int32(bps)), money.mul_div(a, top, bottom)
    wanted = (
        [x * int(b) // 10_000 for x, b in zip(amounts, bps)],
        [x * t // b for x, t, b in zip(amounts, tops, bottoms)],
    )
    for got, want in zip(found, wanted):
        assert got.dtype == jnp.int64 and got.tolist() == want
    scaled = money.scaled_amount(a, jnp.int32(more)).tolist()
    assert scaled == [min(x * int(b) // 10_000, MOST) for x, b in zip(amounts, more)]


@pytest.mark.parametrize("bits", SCALES)
def test_a_pot_is_split_exactly(bits):
    rng = np.random.default_rng(bits)
    weights = rng.integers(0, L.MAX_WEIGHT + 1, (60, 7))
    weights[::3, 0] = 0
    pots = numbers(rng, bits, 58)
    parts = jax.vmap(L.split_pot)(jnp.asarray(pots), jnp.int32(weights)).tolist()
    for pot, shares, paid in zip(pots, weights.tolist(), parts):
        assert sum(paid) == pot
        assert all(abs(p * sum(shares) - pot * w) < sum(shares) for p, w in zip(paid, shares))
        assert all(p == 0 for p, w in zip(paid, shares) if w == 0)


def test_what_is_wider_than_the_ledger_is_more_than_anybody_has():
    found = money.units(jnp.asarray([2**40, -(2**40), 5]), jnp.int32)
    assert found.dtype == jnp.int32 and found.tolist() == [2**31 - 1, -(2**31), 5]


def test_an_amount_of_two_words_is_bound_whole():
    def seal(amount):
        return int(L.commitment_of(job=0, buyer=1, amount=amount, **SAID))

    low = 1_000_003
    assert len({seal(low + (high << 32)) for high in (0, 1, 2, 2**30)}) == 4
    with jax.enable_x64(False):  # the same small amount has the same seal
        assert int(L.commitment_of(job=0, buyer=1, amount=low, **SAID)) == seal(low)


SAID = {"tau_bps": 9_000, "model": 3, "metric": 4, "salt": 5}


@pytest.fixture(scope="module")
def played():
    """Traces of dust, ordinary money and of all that there can be, in one program."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        draws = [seeded_draw(seed) for seed in range(NUM_TRACES)]
        games = [imagine([draw] * NUM_STEPS, draw, MOST) for draw in draws]
        models, funds, rows, receipts, states = zip(*games)
        chains = jax.vmap(genesis)(jnp.asarray(funds))
        seen = jax.jit(jax.vmap(run))(chains, laws_of(models), batch(rows))
        last, (reasons, facts, moved) = jax.device_get(seen)
        return {
            **{"funds": funds, "last": last, "facts": facts, "moved": moved, "reasons": reasons},
            **{"receipts": np.asarray(receipts), "states": np.stack(states)},
        }


def test_the_ledger_does_what_python_integers_do(played):
    """Every receipt and the whole state after every action, up to 2^63 - 1 units; as with 32 bits
    where the money is small: `test_fuzz.py` holds those to the same model."""
    np.testing.assert_array_equal(played["reasons"], played["receipts"])
    np.testing.assert_array_equal(played["moved"], played["states"])
    assert played["facts"].all()
    assert max(sum(funds) for funds in played["funds"]) == MOST


def test_large_jobs_come_to_an_end(played):
    jobs = played["last"].ledger.jobs
    ended = (jobs.phase >= L.Phase.SETTLED) & (jobs.price > 2**40)
    assert ended.sum() >= 5
    assert (jobs.seller_paid[ended] + jobs.compute_paid[ended]).max() > 2**50


def test_money_is_wide_and_nothing_else_is(played):
    ledger = played["last"].ledger
    assert {leaf.dtype for leaf in money_of(ledger)} == {np.dtype(np.int64)}
    counts = (ledger.block, ledger.tags, ledger.jobs.phase, ledger.jobs.weights, ledger.jobs.seals)
    assert {leaf.dtype for leaf in counts} == {np.dtype(np.int32)}
    votes = {leaf.dtype for leaf in jax.tree.leaves(played["last"].votes)}
    assert votes == {np.dtype(np.int32), np.dtype(bool)}


def test_no_unit_is_lost(played):
    """Against Python's integers, which cannot wrap."""
    for index, funds in enumerate(played["funds"]):
        ledger = jax.tree.map(lambda x, i=index: x[i], played["last"].ledger)
        assert sum(int(x) for part in money_of(ledger) for x in np.ravel(part)) == sum(funds)


def test_a_supply_is_refused_where_it_does_not_fit_in_one_sentence():
    funds = {"buyer_funds": 2_000_000_000, "seller_funds": 0, "node_funds": 0}
    rich = L.new_ledger(LAYOUT, **funds)
    assert int(rich.supply) == 6_000_000_000 and bool(L.invariants(rich)["conserved"])
    with pytest.raises(ValueError, match=r"must stay below 2\*\*63 = \d+: lower the funds or"):
        L.new_ledger(LAYOUT, **{**funds, "node_funds": 2**62})
    with jax.enable_x64(False), pytest.raises(ValueError) as refusal:
        L.new_ledger(LAYOUT, **funds)
    said = "is 6000000000 units but must stay below 2**31 = 2147483648: lower the funds or choose"
    assert said in str(refusal.value) and "JAX_ENABLE_X64=1" in str(refusal.value)


def test_a_supply_that_wraps_is_never_conserved():
    build = jax.jit(lambda x: L.new_ledger(LAYOUT, buyer_funds=x, seller_funds=0, node_funds=0))
    for supply in (2**63 + 5, 2**64 + 5, 3 * 2**62):
        each = [supply // 3] * 2 + [supply - 2 * (supply // 3)]
        ledger = build(jnp.asarray(each))
        assert not bool(L.invariants(ledger)["conserved"]), supply
        assert int(total(ledger)) != supply


def test_a_rule_in_units_may_be_large():
    rules = L.make_rules(reserve=2**40, node_stake=2**41)
    assert rules.reserve.dtype == jnp.int64 and int(rules.reserve) == 2**40
    with pytest.raises(ValueError, match="rule timeout must lie in"):
        L.make_rules(timeout=2**40, withdrawal_delay=2**41)
    with jax.enable_x64(False), pytest.raises(ValueError, match="rule reserve must lie in"):
        L.make_rules(reserve=2**40)
