import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from d2m_jax import tasks
from d2m_jax.privacy import dp, probes
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
        return probes.correlation(found.image, image[0]), found.similarity

    clear, similar = invert(update)
    assert clear > 0.9 and similar > 0.95
    hidden, _ = invert(noised)
    assert hidden < 0.5
