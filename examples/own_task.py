"""Anything with parameters and a loss: matrix factorisation of ratings, from plain functions.

python -m examples.own_task
"""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import HParams, Spec, Task, make_market
from d2m_jax.config.hparams import Learning
from d2m_jax.data import build, from_batches
from d2m_jax.tasks import Metric

USERS, FILMS, RANK = 60, 40, 3


def ratings(count: int = 4000) -> tuple[dict, dict]:
    """Stars of users for films, from tastes that a factorisation can find; [B] leaves."""
    rng = np.random.default_rng(0)
    taste, style = rng.normal(size=(USERS, RANK)), rng.normal(size=(FILMS, RANK))
    user, film = rng.integers(0, USERS, count), rng.integers(0, FILMS, count)
    stars = np.clip(3 + (taste[user] * style[film]).sum(1), 1, 5).astype(np.float32)
    whole = {"user": user.astype(np.int32), "film": film.astype(np.int32), "stars": stars}
    cut = count // 5
    return {k: v[cut:] for k, v in whole.items()}, {k: v[:cut] for k, v in whole.items()}


def init(key: jax.Array) -> dict[str, jax.Array]:
    first, second = jax.random.split(key)
    return {
        "taste": 0.3 * jax.random.normal(first, (USERS, RANK)),
        "style": 0.3 * jax.random.normal(second, (FILMS, RANK)),
    }


def apply(params: dict, batch: dict, key: jax.Array | None) -> jax.Array:
    return 3 + (params["taste"][batch["user"]] * params["style"][batch["film"]]).sum(-1)


def loss(outputs: jax.Array, batch: dict) -> jax.Array:
    return jnp.square(outputs - batch["stars"])


def within_a_star(outputs: jax.Array, batch: dict) -> jax.Array:
    return (jnp.abs(outputs - batch["stars"]) < 1).astype(jnp.float32)


def main(num_rounds: int = 200) -> float:
    dataset = from_batches(*ratings(), name="ratings")
    data = build(dataset, num_sellers=10, partition="iid")
    task = Task(init, apply, loss, Metric("within a star", per_example=within_a_star))
    spec = Spec(model=task, num_sellers=10, num_sampled=6, batch_size=64,
                num_rounds=num_rounds, eval_every=num_rounds)  # fmt: skip
    market = make_market(spec)
    hparams = market.numbers(HParams(tau=0.5, learning=Learning(lr=2.0, momentum=0.9)))
    outcome = jax.jit(market.run)(jax.random.key(0), hparams, data)
    print("ratings within a star", outcome.test_metric)
    return float(outcome.test_metric)


if __name__ == "__main__":
    main()
