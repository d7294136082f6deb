"""Batched transitions: the fold of the single ones, and linear in the number of parties."""

from dataclasses import replace

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from d2m_jax import ledger as L
from tests.ledger.worlds import same

LAYOUT = L.Layout(num_buyers=2, num_sellers=6, num_nodes=7, num_jobs=2)
WORLDS = 200
RULES = L.make_rules(seller_deposit=3, node_stake=3)
LOOPS = {"scan", "while", "sort"}


def random_ledger(key):
    """Accounts of 0 to 9 units, some registered or banned before."""
    keys = jax.random.split(key, 3)
    funds = {
        f"{name}_funds": jax.random.randint(key, (count,), 0, 10)
        for name, count in zip(("buyer", "seller", "node"), LAYOUT)
    }
    chance = jax.random.uniform(keys[0], (2, LAYOUT.num_accounts))
    return replace(
        L.new_ledger(LAYOUT, **funds), registered=chance[0] < 0.2, banned=chance[1] < 0.2
    )


def fold(ledger, transition, count, **options):
    """The single transitions, one after another; `options` are functions of the index."""
    receipts = []
    for i in range(count):
        ledger, receipt = transition(ledger, RULES, **{k: f(i) for k, f in options.items()})
        receipts.append(receipt)
    return ledger, jnp.stack(receipts)


def test_registration_at_once_is_the_fold_of_single_registrations():
    def both(key):
        ledger, keys = random_ledger(key), jax.random.split(key, 4)
        tags, sizes, deposits = (jax.random.randint(k, (6,), 0, 8) for k in keys[:3])
        asks, taus = jax.random.randint(keys[0], (6,), -1, 9), 10_005 - 10 * sizes
        stakes = jax.random.randint(keys[3], (7,), 0, 8)
        names = jnp.arange(6)
        one, sold = fold(
            ledger,
            L.register_seller,
            6,
            actor=LAYOUT.seller,
            tags=lambda i: tags[i],
            size=lambda i: sizes[i],
            commitment=lambda i: names[i],
            deposit=lambda i: deposits[i],
            ask=lambda i: asks[i],
            max_tau_bps=lambda i: taus[i],
        )
        one, joined = fold(one, L.register_node, 7, actor=LAYOUT.node, stake=lambda i: stakes[i])
        other, receipts = L.register_sellers(
            ledger,
            RULES,
            tags=tags,
            sizes=sizes,
            commitments=names,
            deposits=deposits,
            asks=asks,
            max_taus_bps=taus,
        )
        other, more = L.register_nodes(other, RULES, stakes=stakes)
        return (one, sold, joined), (other, receipts, more)

    one, other = jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(0), WORLDS))
    assert same(one, other)
    reached = {L.Reason(int(r)) for r in np.unique(np.concatenate([one[1], one[2]], axis=1))}
    listed = ["OK", "BANNED", "ALREADY_DONE", "BAD_VALUE", "DEPOSIT_TOO_LOW", "NOT_ENOUGH_MONEY"]
    assert {reason.name for reason in reached} == set(listed)


def primitives(jaxpr):
    """The names of all operations of a program, those of inner ones too."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from primitives(inner)


def test_the_largest_ledger_enrols_without_a_loop():
    """65,535 sellers and 100,000 nodes: one pass over arrays as long as the accounts."""
    layout = L.Layout(num_buyers=4, num_sellers=65_535, num_nodes=100_000, num_jobs=2)
    rules = L.make_rules(seller_deposit=5_000, node_stake=3_000)
    index = np.arange(layout.num_sellers, dtype=np.int32)

    def enrol(ledger):
        ledger, sold = L.register_sellers(
            ledger, rules, tags=index % 7, sizes=index + 1, commitments=index, deposits=5_000
        )
        ledger, joined = L.register_nodes(ledger, rules, stakes=3_000)
        return ledger, sold, joined

    ledger = L.new_ledger(layout, buyer_funds=1_000, seller_funds=10_000, node_funds=10_000)
    assert not LOOPS & set(primitives(jax.make_jaxpr(enrol)(ledger).jaxpr))
    after, sold, joined = jax.jit(enrol)(ledger)
    assert all(L.invariants(after).values())
    assert (np.asarray(sold) == np.where(index % 7, L.Reason.OK, L.Reason.BAD_VALUE)).all()
    assert (np.asarray(joined) == L.Reason.OK).all()
    assert int(after.stakes.sum()) == 5_000 * (index % 7 > 0).sum() + 3_000 * layout.num_nodes
