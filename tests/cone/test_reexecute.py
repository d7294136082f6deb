"""The literal mode accepts what the vote model accepts; hashes catch who serves two faces."""

import dataclasses
import hashlib
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.cone import Behaviour, ConeParams, Outcome, decide
from d2m_jax.cone.hashing import (
    commitment,
    equivocators,
    published_hash,
    quantise,
    result_digest,
    rice_chain,
    rice_points,
    set_seed,
    sha,
)
from d2m_jax.cone.reexecute import _World, reexecute

TARGETS = jnp.asarray(np.random.default_rng(0).normal(size=(6, 12)), jnp.float32)


@jax.jit
def round_of(targets):
    """Three local steps on the mean of six sellers' quadratic losses: checkpoints [3, 12]."""

    def step(theta, _):
        theta = theta - 0.3 * (theta[None, :] - targets).mean(axis=0)
        return theta, theta

    return jax.lax.scan(step, TARGETS[0], length=3)[1]


def compute(node):
    del node  # everybody was served the same bytes
    return np.asarray(round_of(TARGETS))


CASES = [
    ("exponential", "lead", "uniform", True),
    ("exponential", "hypergeometric", "stake", False),
    ("exponential", "majority_last", "uniform", True),
    ("fixed", "lead", "uniform", False),
    ("independent", "miracle", "uniform", True),
]


@pytest.mark.few(1)
@pytest.mark.parametrize(("schedule", "rule", "sortition", "rice"), CASES)
def test_both_modes_accept_the_same_results_in_the_same_worlds(schedule, rule, sortition, rice):
    nodes, worlds = 18, 25
    rng = np.random.default_rng(3)
    params = ConeParams(base=2, f_max=1 / 3, beta=0.02, q=0.3, size=5)
    stake = rng.integers(1, 9, nodes)
    names = dict(schedule=schedule, stop_rule=rule, sortition=sortition, rice=rice, max_attempts=5)
    fast = jax.jit(lambda k, b, e, g: decide(
        k, b, e, params, **names, stake=jnp.asarray(stake), group=g, num_groups=2
    ))  # fmt: skip
    right = result_digest(4, 9, compute(0)[-1])
    seen = Counter()
    for world, key in enumerate(jax.random.split(jax.random.key(6), worlds)):
        behaviour = rng.choice(6, nodes, p=rng.dirichlet(np.full(6, 0.5)))
        group, eligible = rng.integers(1, 3, nodes), rng.random(nodes) < 0.85
        vote = fast(key, jnp.asarray(behaviour), jnp.asarray(eligible), jnp.asarray(group))
        literal = reexecute(
            key, compute, behaviour, eligible, params, job=4, unit=9, **names,
            stake=stake, group=group,
        )  # fmt: skip
        accepted = int(vote.accepted)
        assert (literal.digest is None) == (accepted == -1), world
        assert (literal.digest == right) == (accepted == 0), world
        if accepted in (1, 2):  # the group's model, not just any other
            shifted = compute(0)[-1] + np.float32(accepted)
            assert literal.digest == result_digest(4, 9, shifted)
            np.testing.assert_array_equal(literal.theta, shifted)
        assert literal.attempts == int(vote.attempts), world
        assert literal.executions == int(vote.executions), world
        assert literal.outcome.tolist() == np.asarray(vote.outcome).tolist(), world
        assert literal.lead == int(vote.lead), world
        seen[min(accepted, 1)] += 1
    assert min(seen[0], seen[1]) >= 2


def test_members_really_compute_and_the_accepted_model_is_theirs():
    calls = []

    def counted(node):
        calls.append(node)
        return compute(node)

    params = ConeParams(base=4, beta=1e-3)
    out = reexecute(jax.random.key(0), counted, np.zeros(30, int), np.ones(30, bool), params)
    assert (out.attempts, out.executions, out.lead) == (2, 11, 11)
    assert sorted(calls) == np.flatnonzero(out.outcome == Outcome.MATCHED).tolist()
    np.testing.assert_array_equal(out.theta, compute(0)[-1])


def test_a_seller_that_serves_two_faces_splits_the_vote_unless_its_hash_is_checked():
    # odd nodes get other bytes from seller 2 than even ones
    true = np.asarray(TARGETS)
    other = true.copy()
    other[2] += 0.5
    served = {node: other if node % 2 else true for node in range(24)}
    params, everyone = ConeParams(base=4, beta=1e-3), np.ones(24, bool)
    nodes = np.zeros(24, int)

    naive = lambda node: np.asarray(round_of(jnp.asarray(served[node])))
    split = reexecute(jax.random.key(1), naive, nodes, everyone, params)
    assert split.executions == 24  # the whole pool, and no lead of 10
    assert abs(split.lead) < 10

    published = [published_hash(update) for update in true]
    agreed = reexecute(
        jax.random.key(1), from_present, nodes, everyone, params,
        published=published, served=served.__getitem__,
    )  # fmt: skip
    assert agreed.caught.tolist() == [False, False, True, False, False, False]
    assert (agreed.attempts, agreed.executions) == (2, 11)
    kept = np.asarray(round_of(jnp.asarray(true[~agreed.caught])))
    assert agreed.digest == result_digest(0, 0, kept[-1])
    # also who serves another face only to nodes that are never drawn, but not to banned ones
    spare = int(np.flatnonzero(agreed.outcome == Outcome.NOT_DRAWN)[0])
    served = {node: other if node == spare else true for node in range(24)}
    play = lambda eligible: reexecute(
        jax.random.key(1), from_present, nodes, eligible, params,
        published=published, served=served.__getitem__,
    )  # fmt: skip
    assert play(everyone).caught.any() and not play(np.arange(24) != spare).caught.any()


def from_present(node, updates):
    """The toy round without the rows that are missing."""
    return np.asarray(round_of(jnp.asarray(updates[~np.isnan(updates).any(axis=1)])))


def test_hashes_need_the_updates_they_belong_to():
    world = jax.random.key(0), from_present, np.zeros(8, int), np.ones(8, bool), ConeParams()
    with pytest.raises(ValueError, match="no updates are served"):
        reexecute(*world, published=[b""])
    with pytest.raises(ValueError, match="2 hashes are published, but 6 rows"):
        reexecute(*world, published=[b"", b""], served=lambda node: np.asarray(TARGETS))


def test_a_coalition_votes_for_the_model_it_agreed_on():
    params, crowd = ConeParams(base=4, beta=1e-3), np.full(24, Behaviour.COLLUDE)
    agreed = np.full((2, 12), 7, np.float32)
    out = reexecute(
        jax.random.key(1), compute, crowd, np.ones(24, bool), params, wrong=lambda group: agreed
    )
    np.testing.assert_array_equal(out.theta, agreed[-1])
    assert out.digest == result_digest(0, 0, agreed[-1])


def test_honest_service_is_never_caught():
    published = [published_hash(update) for update in np.asarray(TARGETS)]
    assert not equivocators(published, np.stack([np.asarray(TARGETS)] * 3)).any()
    nudged = np.asarray(TARGETS).copy()
    nudged[5, 3] = np.nextafter(nudged[5, 3], 9, dtype=np.float32)  # the last bit is enough
    assert np.flatnonzero(equivocators(published, nudged[None])).tolist() == [5]


def test_digest_is_sha256_of_rounded_int32():
    theta = np.array([0.5, -1.25, 3e-6, 1 / 3], np.float32)
    raw = np.array([32768, -81920, 0, 21845], "<i4").tobytes()
    assert quantise(theta) == raw
    parts = [(7).to_bytes(8, "little"), (2).to_bytes(8, "little"), raw]
    text = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    assert result_digest(7, 2, theta) == hashlib.sha256(text).digest()
    assert result_digest(7, 3, theta) != result_digest(7, 2, theta)
    assert sha(b"ab", b"c") != sha(b"a", b"bc")
    for bad in (np.nan, np.inf, 40_000.0):
        with pytest.raises(ValueError, match="no digest"):
            quantise(np.array([bad]))


def test_rice_chain_needs_the_intermediate_models_of_its_own_set():
    checkpoints = np.random.default_rng(1).normal(size=(16, 5)).astype(np.float32)
    seeds = [set_seed(0, 0, attempt, b"block") for attempt in range(4)]
    assert len({rice_chain(seed, checkpoints) for seed in seeds}) == 4
    assert all(len(rice_points(seed, 16)) == 4 for seed in seeds)  # log2(16)
    assert len({tuple(rice_points(seed, 16)) for seed in seeds}) > 1
    tampered = checkpoints.copy()
    tampered[rice_points(seeds[0], 16)[0]] += 1
    assert rice_chain(seeds[0], tampered) != rice_chain(seeds[0], checkpoints)
    assert rice_points(seeds[0], 1) == [0]


def test_a_ballot_that_is_not_what_was_committed_does_not_count():
    world = _World(np.array([Behaviour.HONEST] * 3), None, compute, 0, 0, rice=True)
    seed = set_seed(0, 0, 0, b"block")
    ballots = world.vote([0, 1, 2], 0, seed, [], lying=False)
    assert list(world.count(ballots, seed, np.ones(3, int)).values()) == [3]
    swapped = dataclasses.replace(ballots[0], digest=sha(b"changed my mind"))
    stolen = dataclasses.replace(ballots[1], node=2)  # somebody else's commitment
    late = dataclasses.replace(ballots[2], promise=commitment(2, b"", b"", b""))
    assert not world.count({0: swapped, 1: stolen, 2: late}, seed, np.ones(3, int))
    assert not world.count(
        ballots, set_seed(0, 0, 1, b"block"), np.ones(3, int)
    )  # another set's salt
