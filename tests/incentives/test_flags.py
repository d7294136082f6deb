"""Every function of arrays in the room under JAX's flags: see `tests/under_flags.py`."""

import jax
import jax.numpy as jnp
import pytest

from d2m_jax import incentives
from d2m_jax.incentives import (
    clusters,
    dynamics,
    federated,
    payments,
    peers,
    sampled,
    validators,
    values,
)
from tests.under_flags import FLAGS, WORDS, assert_same

KEY = jax.random.key(3)
UPDATES = jnp.array([[1.0, 0.0, 0.5], [0.5, 1.0, -1.0], [0.0, 0.0, 0.0], [2.0, 1.0, 1.0]])
SCORES = jnp.array([3.0, 1.0, 0.0, 2.0])
WORTH = jnp.array([1.0, 2.0, 4.0])
GAME = jnp.arange(8.0) ** 2
PAY = jnp.array([5, 3, 0, 2], jnp.int32)
VIEW = incentives.PaymentView(SCORES, PAY, PAY, PAY + 1)
SHARES, PAYOFFS = jnp.array([0.5, 0.3, 0.0, 0.2]), jnp.array([1.0, 2.0, 9.0, 0.5])
CODES, ALIVE = jnp.array([0, 1, 3, 1], jnp.int32), jnp.array([True, True, False, True])


def losses_of(candidates):
    return jnp.square(candidates - 1.0).sum(axis=1)


def evidence(updates):
    return incentives.Evidence(
        accepted=jnp.array([True, True, False, True]),
        gain=SCORES,
        mass=SHARES,
        updates=updates,
        reputation=SHARES,
        previous=updates[1],
        lr=jnp.float32(0.1),
        losses_of=losses_of,
        gradient_at=lambda candidate: 2 * (candidate - 1.0),
        on_units=lambda: (SCORES, SHARES),
    )


def utility(masks):
    return masks.astype(jnp.float32) @ WORTH


def by_size(scores, *, view, power=0.5):
    return incentives.to_weights(scores * jnp.power(view.sizes.astype(scores.dtype), power))


CALLS = {
    **{
        f"contribution {name}": (lambda x, fn=fn: fn(evidence(x)), UPDATES)
        for name, fn in incentives.CONTRIBUTIONS.items()
    },
    **{
        f"payment {name}": (lambda x, view, name=name: incentives.pay(name, x, view), SCORES, VIEW)
        for name in incentives.PAYMENTS
    },
    "clusters": (clusters.clusters, UPDATES, ALIVE, 0.3),
    "discount": (clusters.replication_discount, UPDATES, ALIVE, 0.5),
    "units of owners": (lambda x: clusters.of_owner(x, CODES, 4), SCORES),
    "agreement": (peers.agreement_pay, CODES, CODES[::-1], jnp.eye(4, dtype=bool)),
    "agreement table": (peers.agreement_table, UPDATES @ UPDATES.T),
    "determinant": (lambda a, b: peers.determinant_pay(a, b, 4), CODES, CODES[::-1]),
    "judges": (validators.judged, jnp.abs(UPDATES), SCORES, 0.4),
    "unique work": (validators.uniqueness, SHARES, SCORES, PAYOFFS, 0.1),
    "marginal pay": (payments.marginal_pay, SCORES, jnp.int32(3), jnp.int32(10)),
    "capped by a number": (lambda x, most: incentives.pay("capped", x, most=most), SCORES, 1.5),
    "own payment": (lambda x, view: incentives.pay(by_size, x, view, power=1.0), SCORES, VIEW),
    "report": (
        lambda pay, cost, worth: incentives.payment_report(
            jnp.int32(10), pay, jnp.int32(0), ALIVE, cost, worth
        ),
        PAY,
        jnp.int32(2),
        SCORES,
    ),
    "flat report": (
        lambda pay: incentives.payment_report(jnp.int32(10), pay, jnp.int32(0), ALIVE), PAY,
    ),
    **{
        f"value {fn.__name__}": (fn, GAME)
        for fn in (values.shapley, values.banzhaf, values.beta_shapley, values.leave_one_out,
                   values.alone)
    },
    "permutation": (lambda key: sampled.permutation_shapley(key, utility, 3, 4), KEY),
    "legacy key": (lambda key: sampled.permutation_shapley(key, utility, 3, 4), WORDS),
    "one order": (lambda key: sampled.permutation_shapley(key, utility, 3, 1), KEY),
    "truncated": (lambda key: sampled.truncated_shapley(key, utility, 3, 4, tolerance=0.5), KEY),
    "banzhaf": (lambda key: sampled.banzhaf_msr(key, utility, 3, 6), KEY),
    "coalitions": (lambda x: utility(incentives.all_coalitions(3)) + x, jnp.float32(0)),
    "multi round": (lambda x: federated.multi_round(x, 0.5), UPDATES),
    "path value": (
        lambda x: federated.path_value(lambda c: 2 * c, x, jnp.float32(0.1), 2), UPDATES,
    ),
    "plain sums": (
        lambda x: federated.round_utility(losses_of, x, SHARES, renormalised=False)(
            incentives.all_coalitions(4)
        ),
        UPDATES,
    ),
    "replicator": (lambda x, y: dynamics.replicator(x, y, 0.5), SHARES, PAYOFFS),
    "nobody left": (lambda x, y: dynamics.replicator(0 * x, y, 0.5), SHARES, PAYOFFS),
    "logit": (lambda x, y: dynamics.logit(x, y, 0.5), SHARES, PAYOFFS),
    "shares": (lambda codes: dynamics.shares_of(codes, ALIVE, 4), CODES),
    "per head": (
        lambda codes, x: dynamics.payoffs_per_head(codes, x, ALIVE, SHARES, 0.5), CODES, PAYOFFS,
    ),
    "revise": (
        lambda key, codes: dynamics.revise(key, codes, SHARES, ALIVE, mutation=0.1), KEY, CODES,
    ),
    "revise, legacy key": (
        lambda key, codes: dynamics.revise(key, codes, SHARES, ALIVE), WORDS, CODES,
    ),
}  # fmt: skip
DRAWS = ("permutation", "legacy key", "one order", "truncated", "banzhaf", "revise")


@pytest.mark.few(1, each="call", rest="long")
@pytest.mark.parametrize("flag", FLAGS[1:])
@pytest.mark.parametrize("call", CALLS)
def test_a_flag_changes_nothing(call, flag):
    fn, *args = CALLS[call]
    draws = call.startswith(DRAWS) and flag == "x64"  # 64 bits change what is drawn
    assert_same(flag, fn, *args, exact=not draws)
