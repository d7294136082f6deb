import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from d2m_jax import tasks
from d2m_jax.privacy import dp, probes
from d2m_jax.tasks import make_model
from d2m_jax.tasks.problem import Problem
from tests.worlds import digits


def test_membership_of_known_distributions():
    a, b = jax.random.split(jax.random.key(0))
    low, high = jax.random.normal(a, (4000,)), 1.0 + jax.random.normal(b, (4000,))
    found = probes.membership(low, high)
    auc = 1 - mannwhitneyu(np.asarray(low), np.asarray(high)).statistic / 4000**2
    assert found.auc == pytest.approx(auc, abs=1e-5)
    assert found.advantage == pytest.approx(2 * 0.6915 - 1, abs=0.05)  # Phi(1/2) twice
    blind = probes.membership(low, jax.random.normal(b, (4000,)))
    assert blind.auc == pytest.approx(0.5, abs=0.03) and abs(blind.advantage) < 0.06


def test_a_reference_model_takes_out_how_hard_examples_are():
    a, b, c = jax.random.split(jax.random.key(1), 3)
    hard = 5 * jax.random.normal(a, (1000,))
    members = hard - 1 + 0.1 * jax.random.normal(b, (1000,))
    others = -hard + 0.1 * jax.random.normal(c, (1000,))
    assert probes.membership(members, others).advantage < 0.3
    assert probes.membership(members, others, hard, -hard).advantage > 0.95


def test_ties_count_one_half():
    assert probes.membership(jnp.ones(6), jnp.ones(8)).auc == 0.5


def test_a_single_gradient_gives_the_image_away_and_noise_hides_it():
    dataset, data = digits()
    model = tasks.make_model("mlp", dataset)
    theta = model.init(jax.random.key(0))
    batch = model.prepare(jax.tree.map(lambda leaf: leaf[:1], data.pool), data.stats)
    image, label = batch["inputs"], batch["labels"]
    update = model.gradient(theta, batch)
    noised = dp.private_update(jax.random.key(1), update, 1.0, 1.0)

    @jax.jit
    def invert(update):
        found = probes.invert_gradient(
            jax.random.key(2), model.gradient, theta, update, label[0], (8, 8, 1), steps=150
        )
        return probes.correlation(found.example, image[0]), found.similarity

    clear, similar = invert(update)
    assert clear > 0.9 and similar > 0.95
    hidden, _ = invert(noised)
    assert hidden < 0.5


def test_the_interval_of_a_difference_is_the_published_one():
    """Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80."""
    low, high = probes.difference_interval(jnp.float32(56 / 70), 70, jnp.float32(48 / 80), 80)
    np.testing.assert_allclose([low, high], [0.0524, 0.3339], atol=2e-4)


def test_the_interval_of_an_advantage_holds_it():
    """Of blind scores nine in ten at least; the advantage lies inside its own interval."""
    keys = jax.random.split(jax.random.key(3), 200)
    found = jax.vmap(lambda key: probes.membership(*jax.random.normal(key, (2, 120))))(keys)
    held = (found.low <= 0) & (found.high >= 0)
    assert held.mean() > 0.9
    assert ((found.low <= found.advantage) & (found.advantage <= found.high)).all()


def rows_gradient(theta, batch, key=None):
    """Of half the squared distance of theta to the mean of the rows."""
    return theta - batch["inputs"].mean(0)


def test_an_update_tells_its_batch():
    rows = jax.random.normal(jax.random.key(0), (60, 200))
    theta = jnp.zeros(200)
    update = rows_gradient(theta, {"inputs": rows[:6]})
    scores = probes.likeness(rows_gradient, theta, update, {"inputs": rows})
    assert scores[:6].min() > scores[6:].max()
    noised = dp.private_update(jax.random.key(1), update, 1.0, 4.0)
    hidden = probes.likeness(rows_gradient, theta, noised, {"inputs": rows})
    assert probes.membership(-hidden[:6], -hidden[6:]).auc < 0.9


def test_a_row_of_a_table_comes_back_from_its_gradient():
    model = make_model("logreg", Problem("table", (7,), np.dtype(np.float32), 3))
    theta = model.init(jax.random.key(0))
    row = jax.random.normal(jax.random.key(1), (7,))
    sent = model.gradient(theta, {"inputs": row[None], "labels": jnp.array([2])})
    found = probes.invert_gradient(
        jax.random.key(2), model.gradient, theta, sent, jnp.int32(2), (7,), steps=150
    )
    assert probes.correlation(found.example, row) > 0.95


def test_the_words_of_a_text_show_in_its_gradient():
    model = make_model("text_bow", Problem("text", (5,), np.dtype(np.int32), 3, (), vocabulary=12))
    theta = model.init(jax.random.key(0))
    text = {"inputs": jnp.array([[3, 7, 7, 10, 0]]), "labels": jnp.array([1])}
    sent = model.gradient(theta, text)
    traces = probes.word_traces(model.gradient, theta, sent, text, 12)
    assert np.flatnonzero(traces).tolist() == [3, 7, 10]
    assert traces[7] > traces[3]  # twice as often
