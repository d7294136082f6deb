"""The stop rules in whole numbers say what the rules in floating point say."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.stop_rules import STOP_RULES, Tally, running_sum
from d2m_jax.cone.tables import SCALE, vote_tables
from d2m_jax.core.vote_tables import INFINITE, Score
from d2m_jax.ledger.counting import count, is_enough
from d2m_jax.ledger.votes import get_unit
from d2m_jax.ledger.votes_state import make_terms, new_votes

POOL, SIZE, SETS = 12, 4, 3
A, B, LONE = 1, 2, 100  # digests; a lone liar's is 100 and its number
PARAMS = [
    ConeParams(size=SIZE, q=SIZE / POOL, f_max=f_max, beta=beta)
    for f_max in (0.26, 0.45)
    for beta in (0.31, 0.013, 1e-6)
]


def tallies():
    """Every tally of three sets of four nodes: [K, 12] digests, 0 silent.

    In each set any number vote for A, for B, and each for itself; the rest is silent. A third
    digest with two votes or more would count as one rival more, as a lone one does.
    """
    one = [
        [A] * a + [B] * b + [LONE] * lone + [0] * (SIZE - a - b - lone)
        for a, b, lone in itertools.product(range(SIZE + 1), repeat=3)
        if a + b + lone <= SIZE
    ]
    every = np.asarray([np.ravel(sets) for sets in itertools.product(one, repeat=SETS)])
    return np.where(every == LONE, LONE + np.arange(POOL), every).astype(np.int32)


def by_tables(terms, digests):
    """[SETS] bool and digests: what is accepted after each set, by the ledger's counting."""
    row = get_unit(new_votes(1, POOL, 1), jnp.int32(0))
    first = jnp.arange(POOL, dtype=jnp.int32) // SIZE + 1
    accepted = []
    for attempt in range(1, SETS + 1):
        now = (first == attempt).astype(jnp.int32)
        row = replace(
            row,
            attempt=jnp.int32(attempt),
            seats=now,
            lots=row.lots + now,
            digests=jnp.where(first <= attempt, digests, 0),
        )
        found = count(row, terms)
        accepted.append(
            jnp.where(is_enough(found, jnp.int32(SIZE), terms), found.by_score.digest, 0)
        )
        row = replace(row, points=found.points)
    return jnp.stack(accepted)


def by_floats(rule, params, redrawn, digests):
    """The same by `stop_rules.py`."""
    names = jnp.concatenate([jnp.array([A, B]), LONE + jnp.arange(POOL)])
    votes = (digests[:, None] == names[None]).astype(jnp.int32).reshape(SETS, SIZE, -1).sum(1)
    size = jnp.full(SETS, SIZE, jnp.int32)
    zero = jnp.zeros(SETS, jnp.int32)
    share = jnp.full(SETS, SIZE / POOL, jnp.float32)
    tally = Tally(votes, votes, zero, size, share, jnp.int32(POOL), redrawn)
    leader, accept = STOP_RULES[rule].fn(tally, params)
    reported = running_sum(votes).sum(axis=1) > 0
    return jnp.where(accept & reported, names[leader], 0)


@pytest.mark.few(2)
@pytest.mark.parametrize("schedule", ["fixed", "independent"])
@pytest.mark.parametrize("rule", list(STOP_RULES))
def test_tables_and_floats_agree_on_every_tally_of_a_pool_of_twelve(rule, schedule):
    every = tallies()
    assert len(every) == 35**3
    how = {"schedule": schedule, "stop_rule": rule, "max_attempts": SETS}
    made = [of_one_length(vote_tables(POOL, p, **how)) for p in PARAMS]
    terms = jax.tree.map(lambda *x: jnp.stack(x), *made)
    params = jax.tree.map(lambda *x: jnp.float32(jnp.stack(x)), *map(floats, PARAMS))
    ours = jax.jit(jax.vmap(jax.vmap(by_tables, (None, 0)), (0, None)))(terms, every)

    def theirs(p, digests):
        return by_floats(rule, p, schedule == "independent", digests)

    floating = jax.jit(jax.vmap(jax.vmap(theirs, (None, 0)), (0, None)))(params, every)
    np.testing.assert_array_equal(ours, floating)
    found = np.asarray(ours)
    assert (found == A).any() and (found == 0).any()
    assert rule == "majority_last" or len({int((f != 0).sum()) for f in found}) > 2  # betas matter


def of_one_length(tables):
    more = 3 * POOL - len(tables.scores)
    scores = np.concatenate([tables.scores, np.repeat(tables.scores[-1:], more)])
    return make_terms(tables._replace(scores=scores), num_rounds=1)


def floats(params):
    return jax.tree.map(jnp.float32, params)


def test_a_smaller_pool_is_asked_for_more_and_never_for_less():
    """The tables are those of the whole pool; a rule that knew of bans would ask for no more.

    Where f_max of the pool is a whole number of nodes: else it may, by one bad node.
    """
    params = ConeParams(f_max=0.25, beta=1e-3)
    for rule in ("hypergeometric", "lead"):
        whole = least_leads(vote_tables(40, params, stop_rule=rule))
        for pool in (20, 32, 36):
            less = least_leads(vote_tables(pool, params, stop_rule=rule))
            known = min(len(whole), len(less))
            assert all(whole[i] >= less[i] for i in range(known)), (rule, pool)


def least_leads(tables):
    """Least lead over a runner-up with 0, 1, .. votes, against one rival."""
    if tables.rule == Score.VOTES:
        return [int(tables.bounds[0])]
    scores, found = tables.scores.tolist(), []
    for second, below in enumerate(scores[:-1]):
        first = next(x for x, score in enumerate(scores) if score - below >= tables.bounds[0])
        found.append(first - second)
    return found


def test_large_pools_have_tables_that_fit():
    for sortition in ("uniform", "stake"):
        for rule in STOP_RULES:
            made = vote_tables(1_000, ConeParams(), stop_rule=rule, sortition=sortition)
            for table in (made.ends, made.rows, made.scores, made.bounds):
                assert table.dtype == np.int32 and (table >= 0).all()
            assert made.scores.max() <= INFINITE and len(made.bounds) == 1_000
    far = vote_tables(100_000, ConeParams(), stop_rule="hypergeometric")
    assert far.scores[-2] < INFINITE - far.bounds[-1]  # a coarser nat, but no proof by rounding
    near = vote_tables(1_000, ConeParams(), stop_rule="hypergeometric")
    assert near.bounds[0] == int(np.log(1e6 - 1) * SCALE) - 2


def test_what_has_no_table_is_refused():
    with pytest.raises(ValueError, match="no tables"):
        vote_tables(8, ConeParams(), stop_rule=lambda tally, params: (0, True))
    with pytest.raises(ValueError, match="no tables"):
        vote_tables(8, ConeParams(), sortition=lambda *_: None)
    with pytest.raises(ValueError, match="commit_window"):
        make_terms(vote_tables(8, ConeParams()), num_rounds=1, commit_window=0)
