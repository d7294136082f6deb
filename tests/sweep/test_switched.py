"""Stop rules and payments are picked by an index: one program, the numbers of the static choice."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from d2m_jax import cone, sweep
from d2m_jax.cone.stop_rules import STOP_RULES, switched_stop_rule, top_two
from d2m_jax.incentives.payments import PAYMENTS, PaymentView, pay, switched_payment
from d2m_jax.sweep import Options, axis, make_plan, product
from tests.sweep.small import base

NODES = "hparams.population.num_colluding"
RULES, PAYS = ["lead", "miracle", "majority_last"], ["proportional", "capped"]


def points(rules, pays):
    """Stop rules x payments x counts, and a number of one payment."""
    return product(
        axis("spec.stop_rule", rules),
        axis("spec.payment", pays),
        axis(NODES, range(0, 16, 2)),
        axis("hparams.payment.capped.most", [1.5]),
    )


def later(tally, params, *, votes=3.0):
    """A stop rule of one's own: accepts from so many votes on."""
    leader, first, _ = top_two(tally.running(lambda votes: votes))
    return leader, first >= votes


def test_stop_rules_and_payments_share_a_program():
    """What each of a group's runs chooses is a place in its lists."""
    made = make_plan(base(), points(RULES, PAYS))
    (group,) = made.groups
    assert len(group.runs) == 48 and {len(runs) for runs in group.cells.values()} == {8}
    assert sorted(group.picks.stop_rules) == sorted(RULES)
    assert sorted(group.picks.payments) == sorted(PAYS) and len(group.cells) == 6
    for pick in group.cells:
        places = group.picks.places(pick)
        assert group.picks.stop_rules[places[2]] == pick.stop_rule
        assert group.picks.payments[places[3]] == pick.payment
    own = product(
        axis("spec.stop_rule", ["lead", later]), axis("hparams.stop_rule.later.votes", [2])
    )
    (group,) = make_plan(base(), own).groups
    assert len(group.picks.stop_rules) == 2


def test_a_switched_stop_rule_is_each_of_them():
    """Every rule of the registry and one's own, for 200 votes, bit for bit."""
    rules = [*STOP_RULES, later]
    behaviour = jnp.zeros(32, jnp.int32).at[:11].set(int(cone.Behaviour.COLLUDE))
    keys = jax.random.split(jax.random.key(0), 200)
    there, params = jnp.ones(32, bool), cone.ConeParams()

    def votes(rule):
        decide = lambda key: cone.decide(key, behaviour, there, params, stop_rule=rule)
        return jax.vmap(decide)(keys)

    switched = jax.jit(lambda index: votes(switched_stop_rule(rules, index)))
    found = [switched(index) for index in range(len(rules))]
    for rule, one in zip(rules, found, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, jax.jit(lambda r=rule: votes(r))())
    assert len({np.asarray(one.accepted).tobytes() for one in found}) >= 3


def test_a_switched_payment_is_each_of_them():
    """Every payment of the registry with numbers of its own, for 50 scores, bit for bit."""
    names = list(PAYMENTS)
    values = [{"capped": {"most": 1.5}, "sharp": {"power": 3.0}}.get(name, {}) for name in names]
    scores = jax.random.normal(jax.random.key(1), (50, 9))
    counts = jnp.arange(9, dtype=jnp.int32)

    def weights(payment, **own):
        view = lambda scores: PaymentView(scores, counts, counts, counts)
        return jax.vmap(lambda scores: pay(payment, scores, view(scores), **own))(scores)

    switched = jax.jit(lambda index: weights(switched_payment(names, index, values)))
    found = [switched(index) for index in range(len(names))]
    for name, own, one in zip(names, values, found, strict=True):
        np.testing.assert_array_equal(one, jax.jit(lambda n=name, o=own: weights(n, **o))())
    assert len({np.asarray(one).tobytes() for one in found}) == len(names)


@pytest.mark.slow
def test_a_sweep_of_both_is_one_program_with_the_numbers_of_each(tmp_path):
    """Every table of the runs, bit for bit, against the program of one choice alone."""
    one = Options(devices=1, workers=2, width=4)
    facts = sweep.run_plan(make_plan(base(), points(RULES, PAYS)), tmp_path / "all", options=one)
    assert facts["programs"] == 1 and facts["failed"] == 0
    every = sweep.load(tmp_path / "all")
    assert every.runs.groupby("spec.stop_rule")["executions"].sum().nunique() == 3
    chosen = points(["majority_last"], ["capped"])
    facts = sweep.run_plan(make_plan(base(), chosen), tmp_path / "one", options=one)
    alone = sweep.load(tmp_path / "one")
    assert facts["programs"] == 1 and len(alone.runs) == 8
    for mine, theirs in ((alone.runs, every.runs), (alone.rounds, every.rounds)):
        same = theirs[theirs["key"].isin(mine["key"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, same[mine.columns], check_exact=True)
