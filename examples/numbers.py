"""Numbers to predict: a small flax network with dropout on scikit-learn's diabetes table.

python -m examples.numbers
"""

import flax.linen as nn
import jax

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.hparams import Learning
from d2m_jax.data import build, load
from d2m_jax.tasks import from_flax


class Network(nn.Module):
    """One hidden layer, with dropout while it trains."""

    @nn.compact
    def __call__(self, rows: jax.Array, *, train: bool = False) -> jax.Array:
        """Returns numbers [B] of rows [B, F]."""
        x = nn.Dropout(0.2, deterministic=not train)(nn.relu(nn.Dense(32)(rows)))
        return nn.Dense(1)(x)[:, 0]


def main(num_rounds: int = 100) -> float:
    diabetes = load("diabetes")
    data = build(diabetes, num_sellers=8, partition="iid", num_validation=80)
    task = from_flax(Network(), sample=diabetes.train)  # numbers: squared error and R2
    spec = Spec(model=task, num_sellers=8, num_sampled=5, num_rounds=num_rounds, eval_every=20)
    market = make_market(spec)
    hparams = market.numbers(HParams(tau=0.3, learning=Learning(lr=0.05, momentum=0.9)))
    outcome = jax.jit(market.run)(jax.random.key(0), hparams, data)
    print("R2 on the test set", outcome.test_metric)
    return float(outcome.test_metric)


if __name__ == "__main__":
    main()
