"""How well a model learns with all data in one place: the yardstick of a market.

    python -m benchmarks.central trec text_bow --lr=1 --steps=400 --data_dir=../shared/data
    python -m benchmarks.central mnist mnist_cnn --batch=640 --lr=0.05 --lr_final=0.02 --steps=600

A step is the mean gradient of `--batch` examples drawn with replacement, SGD with momentum 0.9,
which is what ten sellers of 16 examples (or 20 of 32) and the market's server make; the rate falls
linearly to its share `--lr_final`, as in a market. Prints the test metric ten times.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from d2m_jax.data import load
from d2m_jax.tasks import MODELS, evaluate, flatten, problem_of

MOMENTUM, REPORTS = 0.9, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset")
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--lr_final", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=160)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--data_dir")
    flags = parser.parse_args()
    dataset = load(flags.dataset, flags.data_dir)
    model = flatten(MODELS[flags.model](problem_of(dataset)))
    train, test = jax.tree.map(jnp.asarray, (dataset.train, dataset.test))
    every = max(1, flags.steps // REPORTS)

    @jax.jit
    def chunk(
        state: tuple[jax.Array, jax.Array], key: jax.Array, start: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def step(state, xs):
            (theta, memory), (key, done) = state, xs
            rate = flags.lr * (1.0 - (1.0 - flags.lr_final) * done)
            rows = jax.random.randint(key, (flags.batch,), 0, dataset.num_train)
            batch = model.prepare(jax.tree.map(lambda leaf: leaf[rows], train), dataset.stats)
            memory = MOMENTUM * memory + model.gradient(theta, batch)
            return (theta - rate * memory, memory), None

        done = (start + jnp.arange(every)) / max(every * REPORTS - 1, 1)
        return jax.lax.scan(step, state, (jax.random.split(key, every), done))[0]

    measured = jax.jit(lambda theta: evaluate(model, theta, test, dataset.stats)[0])
    for seed in range(flags.seeds):
        theta, start = model.init(jax.random.key(seed)), time.perf_counter()
        state, found = (theta, jnp.zeros_like(theta)), []
        for report in range(REPORTS):
            key = jax.random.key(100 * seed + report)
            state = chunk(state, key, jnp.float32(report * every))
            found.append(f"{float(measured(state[0])):.4f}")
        spent = time.perf_counter() - start
        print(f"{model.name} D={model.num_params} every {every} steps:", *found, f"{spent:.0f} s")


if __name__ == "__main__":
    main()
