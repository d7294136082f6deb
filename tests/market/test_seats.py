"""The timetable of votes that share nodes, replayed in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import cone
from d2m_jax.market.seats import sits_of, timetable

JOBS, ATTEMPTS, NODES, CASES = 4, 5, 20, 60


def random_votes(seed):
    """Sets of a sortition of its own for every job, and how many of them were needed."""
    rng = np.random.default_rng(seed)
    base = rng.integers(1, 5)
    params = cone.ConeParams(base=int(base))
    eligible = jnp.asarray(rng.random(NODES) < 0.9)
    sits = [
        sits_of(cone.draw_sets(jax.random.key(100 * seed + job), eligible, params, ATTEMPTS))
        for job in range(JOBS)
    ]
    return np.stack(sits), rng.integers(0, ATTEMPTS + 1, JOBS).astype(np.int32), seed % JOBS


def test_no_node_sits_twice_at_once_and_nobody_waits_for_nothing():
    plan = jax.jit(timetable)
    waited = 0
    for seed in range(CASES):
        sits, used, first = random_votes(seed)
        ends, last, meets = (np.asarray(x) for x in plan(sits, used, first))
        now = np.zeros(JOBS, int)  # the slow way: who is next, step by step
        order = [(first + i) % JOBS for i in range(JOBS)]
        for step in range(last):
            busy, seated = np.zeros(NODES, bool), 0
            for job in order:
                if now[job] == used[job]:
                    continue
                wanted = sits[job, now[job]]
                if (wanted & busy).any():
                    waited += 1
                    continue
                assert meets[job, now[job]] == step
                busy |= wanted
                now[job] += 1
                seated += 1
                if now[job] == used[job]:
                    assert ends[job] == step + 1
            assert seated > 0
        assert (now == used).all()
        assert last == ends.max() and (ends >= used).all() and last <= max(used.sum(), 0)
        assert ((meets >= 0).sum(axis=1) == used).all()
    assert waited > CASES


def test_one_vote_alone_never_waits():
    sits, used, _ = random_votes(1)
    ends, last, _ = jax.jit(timetable)(sits[:1], used[:1])
    assert ends.tolist() == used[:1].tolist() and int(last) == used[0]


def test_a_node_that_may_sit_in_several_sets_is_seen_in_all():
    drawn = cone.draw_sets(
        jax.random.key(0), jnp.ones(NODES, bool), cone.ConeParams(q=0.5), 3, "independent"
    )
    sits = np.asarray(sits_of(drawn))
    np.testing.assert_array_equal(sits.sum(axis=1), drawn.size)
    assert (sits.sum(axis=0) > 1).any()
