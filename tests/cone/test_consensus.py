"""`decide` against the plain Python referee, the oracle table and worlds made by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.cone import SCHEDULES, STOP_RULES, Behaviour, ConeParams, Outcome, decide
from d2m_jax.cone.sortition import draw_sets
from tests.cone.referee import referee


@jax.jit
def many(keys, behaviour, params):
    eligible = jnp.ones(behaviour.shape, bool)
    return jax.vmap(lambda key: decide(key, behaviour, eligible, params))(keys)


# C=100, f_max=1/3, beta=1e-3: mean attempts and executions of 50,000 runs (reference notes, 4.3).
ORACLE = [
    (4, 0.0, 2.00, 11.0),
    (4, 0.2, 3.25, 22.4),
    (4, 0.3, 4.01, 33.5),
    (4, 0.4, 5.20, 62.6),
    (8, 0.1, 2.02, 19.2),
    (8, 0.3, 3.04, 32.9),
    (8, 0.4, 4.41, 59.9),
]


@pytest.mark.few(2)
@pytest.mark.parametrize(("base", "share", "attempts", "executions"), ORACLE)
def test_attempts_and_executions_match_the_oracle_table(base, share, attempts, executions):
    behaviour = (jnp.arange(100) < round(100 * share)).astype(jnp.int32)
    out = many(jax.random.split(jax.random.key(1), 4000), behaviour, ConeParams(base, 1 / 3, 1e-3))
    assert abs(float(out.attempts.mean()) - attempts) < 0.05
    spread = float(out.executions.std()) / np.sqrt(4000)
    assert abs(float(out.executions.mean()) - executions) < 4 * spread + 0.06
    if share <= 0.3:
        assert int((out.accepted != 0).sum()) == 0


# schedule, stop rule, sortition, rice, worlds
CASES = [
    ("exponential", "lead", "uniform", True),
    ("exponential", "lead", "stake", False),
    ("exponential", "hypergeometric", "uniform", False),
    ("exponential", "miracle", "uniform", True),
    ("exponential", "majority_last", "uniform", False),
    ("fixed", "lead", "uniform", False),
    ("fixed", "majority_last", "uniform", True),
    ("independent", "lead", "uniform", False),
    ("independent", "hypergeometric", "uniform", True),
    ("independent", "miracle", "stake", False),
    ("independent", "majority_last", "uniform", True),
]


@pytest.mark.few(2)
@pytest.mark.parametrize(("schedule", "rule", "sortition", "rice"), CASES)
def test_every_vote_is_that_of_the_literal_referee(schedule, rule, sortition, rice):
    nodes, worlds, attempts = 21, 150, 6
    rng = np.random.default_rng(7)
    mixtures = rng.dirichlet(np.full(6, 0.6), worlds)  # some worlds nearly pure, some mixed
    behaviour = np.stack([rng.choice(6, nodes, p=p) for p in mixtures]).astype(np.int32)
    group = rng.integers(1, 3, (worlds, nodes)).astype(np.int32)
    eligible = rng.random((worlds, nodes)) < rng.choice(
        [0.0, 0.6, 1.0], (worlds, 1), p=[0.05, 0.35, 0.6]
    )
    stake = rng.integers(1, 50, (worlds, nodes)).astype(np.int32)
    params = ConeParams(
        base=jnp.asarray(rng.integers(1, 6, worlds)),
        f_max=jnp.asarray(rng.choice([0.05, 0.25, 1 / 3, 0.4], worlds), jnp.float32),
        beta=jnp.asarray(rng.choice([0.31, 0.11, 1.3e-3], worlds), jnp.float32),
        q=jnp.asarray(rng.uniform(0.05, 0.5, worlds), jnp.float32),
        size=jnp.asarray(rng.integers(1, 8, worlds)),
        t_exec=jnp.full(worlds, 10.0),
        t_block=jnp.full(worlds, 1.5),
    )
    names = dict(schedule=schedule, sortition=sortition)

    @jax.jit
    @jax.vmap
    def run(key, behaviour, eligible, params, stake, group):
        sets = draw_sets(key, eligible, params, attempts, **names, stake=stake)
        vote = decide(
            key, behaviour, eligible, params, **names, stop_rule=rule, rice=rice,
            max_attempts=attempts, stake=stake, group=group, num_groups=2,
        )  # fmt: skip
        return sets.seat, sets.pool, sets.votes, vote

    keys = jax.random.split(jax.random.key(3), worlds)
    seats, pool, lots, votes = jax.tree.map(
        np.asarray, run(keys, behaviour, eligible, params, stake, group)
    )
    seen = set()
    judged = judged_by_digest(votes)
    np.testing.assert_array_equal(judged, votes.outcome)
    for w in range(worlds):
        sets = [np.flatnonzero((seats[w] == i).any(axis=0)).tolist() for i in range(attempts)]
        numbers = {k: float(getattr(params, k)[w]) for k in ("f_max", "beta", "q")}
        accepted, used, executions, outcome, lead, last = referee(
            sets, behaviour[w], group[w], int(pool[w]), numbers, rule,
            rice=rice, redrawn=schedule == "independent", lots=None if lots is None else lots[w],
        )  # fmt: skip
        assert int(votes.accepted[w]) == (3 if accepted == "lone" else accepted), w
        assert int(votes.attempts[w]) == used, w
        assert int(votes.executions[w]) == executions, w
        assert votes.outcome[w].tolist() == outcome, w
        assert int(votes.lead[w]) == lead, w
        assert_numbered(votes.digests[w], last)
        assert votes.latency[w] == used * 13.0
        seen.add(accepted)
    assert {-1, 0, 1} <= seen  # the worlds are varied enough to mean something


def judged_by_digest(votes):
    """What a ledger makes of digests and seats: codes of `Outcome`, [W, C]."""
    accepted = votes.accepted[:, None] + 1
    right = np.where(votes.digests == accepted, Outcome.MATCHED, Outcome.WRONG)
    judged = np.where(accepted == 0, Outcome.NOT_DRAWN, right)
    judged = np.where(votes.digests == 0, Outcome.SILENT, judged)
    return np.where(votes.drawn, judged, Outcome.NOT_DRAWN)


def assert_numbered(digests, votes):
    """The right one 1, a group's 1 + g, an accepted lone liar's 4; all others apart, 0 for none."""
    known = {None: 0, 0: 1, 1: 2, 2: 3, "lone": 4}
    apart = [digests[n] for n, v in enumerate(votes) if v not in known]
    assert all(digests[n] == known[v] for n, v in enumerate(votes) if v in known)
    assert len(set(apart)) == len(apart) and min(apart, default=5) > 4


fast = jax.jit(decide, static_argnames=("schedule", "stop_rule", "sortition"))


def vote(behaviour, eligible=None, **options):
    """One vote with d* = 10 and base 4, in a world padded to 40 nodes (one compilation)."""
    num = len(behaviour)
    eligible = np.ones(num, bool) if eligible is None else np.asarray(eligible)
    pad = (0, 40 - num)
    out = fast(
        jax.random.key(0),
        jnp.asarray(np.pad(behaviour, pad), jnp.int32),
        jnp.asarray(np.pad(eligible, pad)),
        ConeParams(beta=1e-3),
        **options,
    )
    assert not np.asarray(out.outcome)[num:].any()
    return out._replace(outcome=np.asarray(out.outcome)[:num])


def test_all_honest_nodes_need_as_many_votes_as_the_lead():
    out = vote([Behaviour.HONEST] * 40)  # d* = 10, sets of 5 and 6
    assert (int(out.accepted), int(out.attempts), int(out.executions), int(out.lead)) == (
        0,
        2,
        11,
        11,
    )
    outcome = out.outcome
    assert (outcome == Outcome.MATCHED).sum() == 11
    assert (outcome == Outcome.NOT_DRAWN).sum() == 29
    assert float(out.latency) == 2 * (60 + 2 * 12)


def test_a_captured_network_accepts_the_wrong_digest_and_slashes_the_honest():
    out = vote([Behaviour.COLLUDE] * 38 + [Behaviour.HONEST] * 2)
    assert int(out.accepted) == 1
    honest = out.outcome[38:]
    assert set(honest.tolist()) <= {Outcome.NOT_DRAWN, Outcome.WRONG}


def test_silence_only_is_undecided_and_slashes_nobody_but_the_silent():
    out = vote([Behaviour.SILENT] * 12)
    assert int(out.accepted) == -1
    assert int(out.executions) == 12
    assert out.outcome.tolist() == [Outcome.SILENT] * 12


def test_an_exhausted_pool_takes_the_plurality_and_a_tie_takes_nothing():
    # d* = 10 is out of reach of 7 against 5, or of 6 against 6
    assert int(vote([0] * 7 + [1] * 5).accepted) == 0
    assert int(vote([0] * 5 + [1] * 7).accepted) == 1
    tie = vote([0] * 6 + [1] * 6)
    assert int(tie.accepted) == -1
    assert tie.outcome.tolist() == [Outcome.NOT_DRAWN] * 12


def test_nobody_eligible_is_undecided_at_no_cost():
    out = vote([0] * 9, eligible=[False] * 9)
    assert (int(out.accepted), int(out.attempts), int(out.executions)) == (-1, 0, 0)
    assert not out.outcome.any()


def test_ineligible_nodes_are_never_drawn():
    eligible = np.arange(30) % 3 > 0
    out = vote([0] * 10 + [2] * 10 + [1] * 10, eligible=eligible)
    assert not out.outcome[~eligible].any()


def test_free_loaders_spread_an_early_lie_without_rice_and_not_with_it():
    # 4 colluders of 40, everybody else copies: the first set decides what is copied.
    behaviour = jnp.asarray([1] * 16 + [4] * 24, jnp.int32)
    keys = jax.random.split(jax.random.key(5), 2000)
    eligible = jnp.ones(40, bool)

    def share_wrong(rice):
        run = jax.vmap(lambda k: decide(k, behaviour, eligible, ConeParams(beta=1e-3), rice=rice))
        out = jax.jit(run)(keys)
        return float((out.accepted > 0).mean()), out

    without, _ = share_wrong(False)
    assert without > 0.2  # the copiers multiply whatever led after the first set
    _, salted = share_wrong(True)
    caught = (np.asarray(salted.outcome)[:, 16:] == Outcome.WRONG).any(axis=1)
    assert caught[np.asarray(salted.attempts) > 1].mean() > 0.9


def test_adaptive_nodes_stay_honest_where_lying_cannot_win():
    # lead 10 is out of reach of a first set of 5; with two-thirds of the last set it is not
    behaviour = jnp.asarray([5] * 30 + [0] * 70, jnp.int32)
    keys = jax.random.split(jax.random.key(2), 4000)
    eligible = jnp.ones(100, bool)

    def run(rule):
        fn = lambda k: decide(k, behaviour, eligible, ConeParams(beta=1e-3), stop_rule=rule)
        return jax.jit(jax.vmap(fn))(keys)

    safe, unsafe = run("lead"), run("majority_last")
    assert int((safe.accepted != 0).sum()) == 0
    assert not (np.asarray(safe.outcome) == Outcome.WRONG).any()
    # P(4 or 5 of the first 5 are bad) = 0.0274 (hypergeometric)
    assert abs(float((unsafe.accepted == 1).mean()) - 0.0274) < 4 * np.sqrt(0.0274 / 4000)


@pytest.mark.slow
def test_one_compilation_serves_all_numbers_and_vmap_equals_single_runs():
    behaviour = jnp.asarray([1] * 9 + [0] * 23, jnp.int32)
    eligible = jnp.ones(32, bool)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def one(key, params):
        return decide(key, behaviour, eligible, params)

    keys = jax.random.split(jax.random.key(0), 5)
    table = ConeParams(
        base=jnp.asarray([2, 4, 4, 8, 3]),
        f_max=jnp.full(5, 0.3),
        beta=jnp.asarray([1e-3, 1e-6, 0.1, 1e-3, 1e-2]),
        **{name: jnp.ones(5) for name in ("q", "size", "t_exec", "t_block")},
    )
    rows = [one(key, ConeParams(*p)) for key, p in zip(keys, zip(*jax.tree.leaves(table)))]
    batch = jax.jit(jax.vmap(lambda k, p: decide(k, behaviour, eligible, p)))(keys, table)
    chex.assert_trees_all_equal(batch, jax.tree.map(lambda *x: jnp.stack(x), *rows))


def test_unknown_names_are_refused_with_the_valid_ones():
    for option, word in (("schedule", "fixed"), ("stop_rule", "miracle"), ("sortition", "stake")):
        with pytest.raises(ValueError, match=word):
            vote([0] * 8, **{option: "nonsense"})
    with pytest.raises(ValueError, match="needs the argument stake"):
        vote([0] * 8, sortition="stake")


@pytest.mark.few(5)
@pytest.mark.parametrize("rice", [True, False])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("rule", STOP_RULES)
def test_every_registered_name_keeps_the_contract_under_strict_types(schedule, rule, rice):
    numbers = map(jnp.float32, (4, 0.3, 1e-3, 0.1, 5, 1.0, 1.0))

    def run(key):
        return decide(
            key, jnp.zeros(20, jnp.int32), jnp.ones(20, bool), ConeParams(*numbers),
            schedule=schedule, stop_rule=rule, sortition="stake", rice=rice,
            stake=jnp.ones(20, jnp.int32),
        )  # fmt: skip

    with jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(run, jax.random.key(0))
    shapes = {name: (x.shape, x.dtype.name) for name, x in out._asdict().items()}
    scalar = ((), "int32")
    assert shapes == {
        "accepted": scalar, "attempts": scalar, "executions": scalar, "lead": scalar,
        "outcome": ((20,), "int32"), "digests": ((20,), "int32"), "latency": ((), "float32"),
        "seat": ((20,), "int32"),
    }  # fmt: skip
