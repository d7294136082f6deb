"""The one way to call any rule: memory over rounds, inputs, names, trees, randomness."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.aggregation.curvature import hessian_times
from tests.aggregation import oracles
from tests.aggregation.test_rules import D, N, rows

# Four rounds in which six of eleven sellers take part, one of them silent.
ROUNDS = [np.random.default_rng(t).permutation(N)[:6] for t in range(4)]
MASK = np.arange(6) != 2


def play(name, xs, **static):
    """Aggregates of the rounds, as one scan (the state is a pytree of fixed shapes)."""
    rule = agg.make_aggregator(name, **static)

    def one(state, round_):
        x, indices = round_
        out, state = rule.apply(state, x, 1, jnp.asarray(MASK), indices=indices)
        return state, out

    _, outs = jax.jit(lambda r: jax.lax.scan(one, rule.init(N, D), r))(
        (np.stack(xs), np.stack(ROUNDS))
    )
    return np.asarray(outs)


def updates():
    return [rows(50 + t, 6) * (1 + t) for t in range(4)]


def test_foolsgold_remembers_sellers():
    total = np.zeros((N, D))
    xs = updates()
    for x, indices, got in zip(xs, ROUNDS, play("foolsgold", xs)):
        total[indices[MASK]] += x[MASK]
        w = oracles.foolsgold_weights(total[indices[MASK]])
        np.testing.assert_allclose(got, w @ x[MASK] / w.sum(), rtol=1e-3, atol=1e-4)


def test_safeguard_windows_and_exclusion():
    long, short, good = np.zeros((N, D)), np.zeros((N, D)), np.ones(N, bool)
    xs = updates()
    xs[0][0] *= -9  # excluded in round 0, and still in round 1
    outs = play("safeguard", xs, long_window=3, short_window=2)
    excluded = []
    for t, (x, indices, got) in enumerate(zip(xs, ROUNDS, outs)):
        if t % 3 == 0:
            long[:], good[:] = 0, True
        if t % 2 == 0:
            short[:] = 0
        here = indices[MASK]
        long[here] += x[MASK]
        short[here] += x[MASK]
        good[here] &= oracles.near_median(long[here]) & oracles.near_median(short[here])
        np.testing.assert_allclose(got, x[MASK][good[here]].mean(axis=0), rtol=1e-4, atol=1e-4)
        excluded.append(not good[ROUNDS[0][0]])
    assert excluded[:3] == [True, True, True]


def test_clipped_clustering_clips_at_the_median_of_all_norms():
    norms, xs = [], updates()
    for x, got in zip(xs, play("clipped_clustering", xs)):
        y = x[MASK].astype(np.float64)
        norms += list(np.linalg.norm(y, axis=1))
        kept = oracles.clipped(y, np.median(norms))[oracles.larger_cluster(y)]
        np.testing.assert_allclose(got, kept.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_martfl_takes_the_best_seller_of_the_round_before_as_its_baseline():
    xs, roots = updates(), np.random.default_rng(3).normal(1, 0.3, size=(4, D))
    rule = agg.make_aggregator("martfl")
    losses = np.random.default_rng(4).random((4, 6)).astype(np.float32)
    losses[1] = np.nan  # nobody can be judged: the buyer's own update is the next baseline

    @jax.jit
    def one(state, x, indices, root, losses):
        given = {"indices": indices, "root": root, "losses": losses}
        return rule.apply(state, x, 1, jnp.asarray(MASK), **given)

    state, baseline, used = rule.init(N, D), -1, []
    for x, indices, root, loss in zip(xs, ROUNDS, roots, losses):
        here, y = list(indices[MASK]), x[MASK].astype(np.float64)
        row = here.index(baseline) if baseline in here else None
        w, top = oracles.martfl_weights(y, root if row is None else y[row], row)
        got, state = one(state, x, indices, root.astype(np.float32), loss)
        want = w @ oracles.clipped(y, np.median(np.linalg.norm(y, axis=1))) / w.sum()
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        worth = np.where(top & np.isfinite(loss[MASK]), loss[MASK], np.inf)
        baseline = here[np.argmin(worth)] if np.isfinite(worth).any() else -1
        assert int(state) == baseline
        used.append(row is not None)
    assert any(used) and not all(used)


def curved_rounds(num_rounds, bad, seed=0):
    """Honest gradients of a bowl at a model that follows `answer`, and liars that change."""
    rng = np.random.default_rng(seed)
    bowl, theta = np.diag(rng.uniform(0.5, 2, D)), rng.normal(3, 1, D)
    for _ in range(num_rounds):
        indices = rng.permutation(N)[:8]
        x = (bowl @ theta + rng.normal(0, 0.05, (8, D))).astype(np.float32)
        lies = np.isin(indices, bad)
        x[lies] = rng.normal(0, 3, (lies.sum(), D))
        answer = yield x, indices
        theta = theta - 0.1 * answer


def test_fldetector_predicts_and_finds_those_it_cannot_predict():
    rule, bad = agg.make_aggregator("fldetector"), [2, 5]
    given = {"warmup": 6.0}

    @jax.jit
    def one(state, x, mask, indices):
        return rule.apply(state, x, 2, mask, indices=indices, **given)

    state = rule.init(N, D)
    last, moved, scores = {}, np.zeros((N, D)), {i: [] for i in range(N)}
    steps, bends, previous, found = [], [], None, []
    rounds = curved_rounds(14, bad)
    x, indices = next(rounds)
    for t in range(14):
        mask = np.arange(8) != t % 8
        here, y = indices[mask], x[mask].astype(np.float64)
        b = (
            oracles.bfgs(np.array(steps[-10:]), np.array(bends[-10:]))
            if steps
            else np.zeros((D, D))
        )
        known = [k for k, i in enumerate(here) if i in last]
        gaps = {k: np.linalg.norm(y[k] - last[here[k]] - b @ moved[here[k]]) for k in known}
        for k in known:
            scores[here[k]].append(gaps[k] / sum(gaps.values()))
        good, scored = np.ones(len(here), bool), [k for k, i in enumerate(here) if scores[i]]
        if t >= 6:
            mean = np.array([np.mean(scores[here[k]][-10:]) for k in scored])
            if oracles.gap_groups(mean) > 1:
                good[scored] = ~oracles.top_group(mean, 2)
        got, state = one(state, x, mask, indices)
        want = np.median(y[good], axis=0)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
        found.append(set(here[~good]))
        if previous is not None:
            steps.append(-previous)
            bends.append(want - previous)
        last.update(zip(here, y))
        moved[here] = 0
        moved, previous = moved - want, want
        if t < 13:
            x, indices = rounds.send(want)
    assert set().union(*found) == set(bad)


def test_bfgs_products_are_those_of_the_matrix():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(D, D))
    steps = rng.normal(size=(4, D))
    bends = steps @ (half @ half.T)
    bends[2] *= -1  # against the curvature: left out
    rows_ = rng.normal(size=(3, D))
    for scale in (1.0, 1e-20):
        got = jax.jit(hessian_times)(
            *(jnp.asarray(scale * a, jnp.float32) for a in (steps, bends)),
            jnp.asarray(rows_, jnp.float32),
        )
        want = rows_ @ oracles.bfgs(steps, bends)
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3 * np.abs(want).max())


def test_the_ring_of_norms_forgets_the_oldest(monkeypatch):
    from d2m_jax.aggregation import history

    monkeypatch.setattr(history, "NORMS_PER_SELLER", 1)
    state, mask = history.init_norms(6, D), jnp.arange(6) < 4
    step = jax.jit(
        lambda state, x: history.clipped_clustering_step(state, x, 0, mask=mask, indices=None)
    )
    for t in range(3):
        _, state = step(state, jnp.full((6, D), t + 1.0))
    lengths = np.sort(np.asarray(state.values)) / np.sqrt(D)
    np.testing.assert_allclose(lengths, [2, 2, 3, 3, 3, 3], rtol=1e-6)
    assert state.written == 12


def test_pre_aggregators_by_name_and_with_numbers():
    x = rows(60)
    rule = agg.make_aggregator("trimmed_mean", pre=("nnm", partial(agg.clipping, radius=1.0)))
    got, state = jax.jit(lambda x: rule.apply(rule.init(N, D), x, 2))(x)
    by_hand = lambda x: agg.trimmed_mean(agg.clipping(agg.nnm(x, 2)[0], 2, radius=1.0)[0], 2)
    np.testing.assert_allclose(got, jax.jit(by_hand)(x), rtol=1e-5)
    assert state == () and rule.uses == ()
    one, other = (
        jax.jit(lambda x, pre=pre: agg.make_aggregator("trimmed_mean", pre).apply((), x, 2)[0])(x)
        for pre in ("nnm", ["nnm"])
    )
    np.testing.assert_array_equal(one, other)


def test_what_a_rule_uses_is_declared_and_demanded():
    assert agg.make_aggregator("fltrust").uses == ("root",)
    assert agg.make_aggregator("zeno").uses == ("losses",)
    assert agg.make_aggregator("foolsgold").uses == ("indices",)
    assert agg.make_aggregator("martfl").uses == ("root", "losses", "indices")
    for name, word in (("fltrust", "root"), ("zeno", "losses")):
        rule = agg.make_aggregator(name)
        with pytest.raises(ValueError, match=f"{name} needs {word}="):
            rule.apply((), rows(0), 1)
    rule = agg.make_aggregator("foolsgold", pre=("bucketing",))
    with pytest.raises(ValueError, match="bucketing mixes sellers"):
        rule.apply(rule.init(N, D), rows(0), 1, key=jax.random.key(0))


def test_names_are_checked():
    with pytest.raises(ValueError, match=r"unknown aggregator 'krumm' \(did you mean 'krum'"):
        agg.make_aggregator("krumm")
    with pytest.raises(ValueError, match="unknown pre-aggregator 'nmm'"):
        agg.make_aggregator("krum", pre=("nmm",))
    with pytest.raises(ValueError, match="valid names: byzfl, paper"):
        agg.make_aggregator("krum", preset="blades")


def test_preset_reaches_the_rules_that_know_it():
    x = rows(61)
    for name in ("krum", "geometric_median", "centered_clipping", "median"):
        rule = agg.make_aggregator(name, preset="byzfl")
        kw = {"preset": "byzfl"} if agg.AGGREGATORS[name].presets else {}
        got, _ = jax.jit(lambda x, rule=rule: rule.apply(rule.init(N, D), x, 3))(x)
        want = jax.jit(lambda x, name=name, kw=kw: agg.AGGREGATORS[name](x, 3, **kw))(x)
        np.testing.assert_allclose(got, want, rtol=1e-5)
    paper = jax.jit(lambda x: agg.make_aggregator("geometric_median").apply((), x, 3)[0])(x)
    byzfl = jax.jit(lambda x: agg.geometric_median(x, preset="byzfl"))(x)
    assert np.abs(paper - byzfl).max() > 1e-3


def test_own_function_as_a_rule():
    rule = agg.make_aggregator(lambda updates, f, *, mask: updates[0] * mask.sum() + f)
    np.testing.assert_allclose(rule.apply((), rows(0), 2)[0], rows(0)[0] * N + 2, rtol=1e-6)


def test_own_function_sees_single_precision_and_keeps_its_key():
    """What is bound stays bound; a callable without a signature takes no key."""

    def noisy(updates, f, *, mask=None, key=None):
        assert updates.dtype == jnp.float32
        return jax.random.normal(key, updates.shape[1:])

    x = rows(63).astype(np.float16)
    bound = partial(noisy, key=jax.random.key(7))
    want = jax.random.normal(jax.random.key(7), (D,))
    for rule, same in ((bound, True), (noisy, False)):
        rows_last = agg.chain(agg.nnm, rule)(x, 1, key=jax.random.key(0))
        by_name, _ = agg.make_aggregator(rule).apply((), x, 1, key=jax.random.key(0))
        assert np.array_equal(rows_last, want) is same and np.array_equal(by_name, want) is same
    few_of = agg.chain(agg.nnm, partial(agg.dnc, num_coordinates=2))
    few = jax.jit(lambda key: few_of(rows(63), 2, key=key))
    drawn = {np.asarray(few(jax.random.key(seed))).tobytes() for seed in range(8)}
    assert len(drawn) > 1  # of two coordinates out of six
    assert agg.make_aggregator(max).uses == ()
    noisy_mean = agg.make_aggregator(partial(agg.AGGREGATORS["norm_clipping"], noise=0.1))
    assert noisy_mean.uses == ("key",)
    assert np.isfinite(noisy_mean.apply((), x, 1, key=jax.random.key(0))[0]).all()


def test_trees_are_raveled_once():
    x = rows(62)
    tree = {"w": x[:, :4].reshape(N, 2, 2), "b": [x[:, 4], x[:, 5:].astype(np.float16)]}
    got = agg.aggregate_tree(agg.median, tree)
    assert got["w"].shape == (2, 2) and got["b"][0].shape == () and got["b"][1].dtype == np.float16
    np.testing.assert_allclose(got["w"].reshape(-1), np.median(x[:, :4], axis=0), rtol=1e-6)
    np.testing.assert_allclose(got["b"][1], np.median(x[:, 5:], axis=0), rtol=1e-3)
    with pytest.raises(ValueError, match="updates must be floating numbers, got int32"):
        agg.aggregate_tree(agg.median, {"w": x, "steps": np.arange(N, dtype=np.int32)})
    halves = np.full((5, 4), 300, np.float16)
    np.testing.assert_array_equal(agg.aggregate_tree(agg.cge, {"w": halves}, 1)["w"], halves[0])


def test_noise_of_norm_clipping():
    x = np.zeros((3, 20_000), np.float32)
    got = agg.norm_clipping(x, key=jax.random.key(0), noise=0.5)
    assert abs(float(jnp.std(got)) - 0.5) < 0.01 and abs(float(jnp.mean(got))) < 0.02
    np.testing.assert_array_equal(agg.norm_clipping(x), 0)
    with pytest.raises(ValueError, match="adds noise: give it a key"):
        agg.norm_clipping(x, noise=0.5)


def test_dnc_and_signguard_on_drawn_coordinates():
    """An attack on every coordinate is found whichever are drawn."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 1.0, size=(N, 400)).astype(np.float32)
    x[:2] -= 4
    want = x[2:].mean(axis=0)
    got = agg.dnc(x, 2, key=jax.random.key(1), num_coordinates=50, rounds=3)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    lenient = agg.dnc(x, 2, key=jax.random.key(1), num_coordinates=50, rounds=1, share=0.5)
    assert np.abs(lenient - want).max() > 0.05
    with pytest.raises(ValueError, match="draws 50 of 400 coordinates"):
        agg.dnc(x, 2, num_coordinates=50)
    kept = agg.signguard(x, key=jax.random.key(2), fraction=0.5)
    assert np.linalg.norm(kept - want) < 0.35 * np.linalg.norm(x.mean(axis=0) - want)


@pytest.mark.parametrize("name", agg.AGGREGATORS)
def test_every_number_of_a_rule_may_be_traced(name):
    """As a market gives them: numbers, f and mask are arrays inside the traced function."""

    def run(numbers, f, updates, mask):
        rule = agg.make_aggregator(name, **numbers)
        inputs = {
            "indices": jnp.arange(N),
            "key": jax.random.key(0),
            "root": updates[0],
            "losses": jnp.zeros(N),
            "losses_of": oracles.loss,
            "layers": (3, 30),
            "outputs_of": lambda u: u[:, None, :3],
        }
        given = {what: inputs[what] for what in ("indices", *rule.uses)}
        return rule.apply(rule.init(N, 33), updates, f, mask, **given)[0]

    numbers = jax.tree.map(jnp.float32, agg.AGGREGATORS[name].numbers)
    got = jax.eval_shape(run, numbers, jnp.int32(2), jnp.ones((N, 33)), jnp.ones(N, bool))
    assert got.shape == (33,) and got.dtype == jnp.float32
