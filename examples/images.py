"""Images: a market in one jitted function, and sixteen of its worlds at once.

python -m examples.images
"""

import jax
import jax.numpy as jnp

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.population import Population
from d2m_jax.data import build, load


def main(num_rounds: int = 100, worlds: int = 16) -> jax.Array:
    digits = load("digits")
    data = build(digits, num_sellers=20, partition="dirichlet", alpha=0.5)
    market = make_market(Spec(attack="alie", num_rounds=num_rounds, eval_every=num_rounds), digits)
    people = Population(num_byzantine=6, num_colluding=12)
    hparams = market.numbers(HParams(population=people, attack={"z": 1.5}))

    keys = jax.vmap(jax.random.key)(jnp.arange(worlds))
    outcome = jax.jit(jax.vmap(market.run, in_axes=(0, None, None)))(keys, hparams, data)
    print("test accuracy of every world", outcome.test_metric)
    return outcome.test_metric


if __name__ == "__main__":
    main()
