"""At the same length no attack of the registry does more damage than the white-box one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.aggregation import AGGREGATORS, make_aggregator
from d2m_jax.aggregation.switched import switched_aggregator
from d2m_jax.attacks import ATTACKS, OTHERS, AttackContext
from d2m_jax.attacks.starts import first_memories, observed
from d2m_jax.attacks.whitebox import Aim

NUM_ROWS, NUM_PARAMS = 8, 6
ROWS = jax.random.normal(jax.random.key(1), (NUM_ROWS, NUM_PARAMS)) + 0.5
BYZANTINE = jnp.arange(NUM_ROWS) < 3
MEAN = ROWS[3:].mean(0)
LENGTH = jnp.linalg.norm(ROWS[3:], axis=1).mean()
KEY = jax.random.key(4)
FORGING = {name: attack for name, attack in OTHERS.items() if attack.forge is not None}
FEW = ("median", "krum", "cge", "sign_majority", "martfl")
GROUPS = [tuple(AGGREGATORS)[start::4] for start in range(4)]


def defence_of(rules, index):
    """The rule of that place, with what a buyer gives, as an attacker rehearses it."""
    rule = switched_aggregator([make_aggregator(name) for name in rules], index)

    def rehearse(updates, mask):
        def losses_of(rows):
            return jnp.sum(jnp.square(rows - MEAN[None]), axis=-1)

        given = {"indices": jnp.arange(NUM_ROWS), "key": KEY, "root": MEAN + 0.1}
        given |= {"losses_of": losses_of, "losses": losses_of(updates)}
        own = {use: given[use] for use in rule.uses if use in given}
        return rule.apply(rule.init(NUM_ROWS, NUM_PARAMS), updates, 3, mask, **own)[0]

    return rehearse


def context_of(rules, index):
    """Everything that any attack may want to know."""
    context = AttackContext(
        previous=jnp.linspace(-1, 1, NUM_PARAMS),
        round_index=jnp.int32(20),
        tolerated_f=3,
        defence=defence_of(rules, index),
        damage=lambda aggregate: -jnp.vdot(aggregate, MEAN),
        mass=jnp.ones(NUM_ROWS),
        reputation=jnp.full(NUM_ROWS, 0.9),
    )
    memories = first_memories(OTHERS, NUM_PARAMS)
    for _ in range(3):
        memories = observed(OTHERS, memories, ROWS, BYZANTINE, context, "omniscient")
    return context._replace(state=memories)


def duel(rules, objective, names):
    """(place of a rule) -> damage of the white box, and of each attack, at each one's length.

    The white box starts from these attacks, or from all that it knows where all are named.
    """
    starts = {} if len(names) == len(FORGING) else {"starts": names}

    def damage(aggregate):
        if objective == "distance":
            return jnp.linalg.norm(aggregate - MEAN)
        return -jnp.vdot(aggregate, MEAN) / jnp.linalg.norm(MEAN)

    def play(index):
        context = context_of(rules, index)
        everyone = jnp.ones(NUM_ROWS, bool)

        def rows_of(name, attack):
            view = context._replace(state=context.state.get(name))
            rows = attack.forge(KEY, ROWS, BYZANTINE, context=view)
            longest = jnp.linalg.norm(jnp.where(BYZANTINE[:, None], rows, 0), axis=1).max()
            return rows, longest / LENGTH

        theirs = [rows_of(name, FORGING[name]) for name in names]
        rows, radii = (jnp.stack(part) for part in zip(*theirs))
        fair = jnp.isfinite(radii) & (radii < 1e6)  # what no market admits is no rival
        radii = jnp.where(fair, radii, 1)

        def ours(radius):
            aim = Aim(objective, steps=3, **starts)
            return ATTACKS["whitebox"].forge(
                KEY, ROWS, BYZANTINE, context=context, aim=aim, radius=1.00001 * radius
            )

        def done(rows):
            return damage(context.defence(rows, everyone))

        mine = jax.lax.map(ours, jnp.concatenate([radii, jnp.ones(1)]))
        values = jax.lax.map(done, jnp.concatenate([mine, rows]))
        lengths = jnp.linalg.norm(jnp.where(BYZANTINE[:, None], mine, 0), axis=2).max(1)
        return jnp.split(values, [len(radii), len(radii) + 1]), lengths / LENGTH, radii, fair

    return jax.jit(play)


def check(rules, objective, names=tuple(FORGING)):
    play = duel(rules, objective, names)
    for index, rule in enumerate(rules):
        (white, at_one, theirs), lengths, radii, fair = jax.device_get(play(index))
        assert (lengths <= np.append(radii, 1) * 1.0001).all(), rule
        for name, ours, other, radius, counts in zip(names, white, theirs, radii, fair):
            slack = 1e-4 * (1 + abs(other))
            assert not counts or not np.isfinite(other) or ours >= other - slack, (rule, name)
            if counts and radius <= 1:
                assert at_one[0] >= other - slack, (rule, name)


def test_no_start_does_more_damage_at_the_same_length():
    check(("median", "krum"), "distance", ("sign_flip", "alie", "ipm"))


@pytest.mark.slow  # compiles every attack
def test_no_attack_does_more_damage_at_the_same_length():
    check(FEW, "distance")


@pytest.mark.long  # a minute and a half each
@pytest.mark.parametrize("objective", ["descent", "distance"])
@pytest.mark.parametrize("rules", GROUPS)
def test_no_attack_does_more_damage_at_the_same_length_to_any_rule(rules, objective):
    check(rules, objective)


def test_blind_steps_climb_where_a_rule_has_no_gradient():
    """A rule that rounds is flat nearly everywhere; the search goes up all the same."""

    def rounded_mean(rows, mask):
        return jnp.round(4 * jnp.where(mask[:, None], rows, 0).mean(0)) / 4

    def reached(starts, steps):
        aim = Aim("distance", starts=starts, steps=steps, shorter=())
        rows = ATTACKS["whitebox"].forge(
            KEY, ROWS, BYZANTINE, context=AttackContext(defence=rounded_mean), aim=aim, radius=2.0
        )
        return float(jnp.linalg.norm(rounded_mean(rows, jnp.ones(NUM_ROWS, bool)) - MEAN))

    start, climbed = reached((), 0), reached((), 60)
    assert climbed > 1.01 * start
    assert reached(("sign_flip", "alie"), 0) >= start


def test_what_the_context_does_not_suffice_for_is_no_start():
    """Without memories, a last aggregate and masses, the rest still bounds what is left."""
    context = AttackContext(defence=lambda rows, mask: rows.mean(0))
    aim = Aim("distance", starts=("copycat", "knock_out", "opportunist", "sign_flip"), steps=0)
    rows = ATTACKS["whitebox"].forge(KEY, ROWS, BYZANTINE, context=context, aim=aim)
    flipped = ATTACKS["sign_flip"](KEY, ROWS, BYZANTINE)
    away = [float(jnp.linalg.norm(x.mean(0) - MEAN)) for x in (rows, flipped)]
    assert away[0] >= away[1] * (1 - 1e-5)
    with pytest.raises(ValueError, match=r"context\.defence"):
        ATTACKS["whitebox"](KEY, ROWS, BYZANTINE)
