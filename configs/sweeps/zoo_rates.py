"""The learning rate of every defence, for `zoo_mlp.py`: chosen on the buyer's validation examples.

    python scripts/sweep.py --config=configs/sweeps/zoo_rates.py --data_dir=DIR \
        --out=results/zoo_rates
    python -m benchmarks.zoo rates results/zoo_rates

Three rates, four attacks by 6 of 20 sellers and none; the test set has no part in it.
"""

from ml_collections import ConfigDict

from configs.sweeps import zoo_mlp
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point

RATES = [0.05, 0.15, 0.4]
ASSAULTS = ["none", "sign_flip", "ipm", "alie", "label_flip"]


def get_config() -> ConfigDict:
    config = zoo_mlp.get_config()
    config.hparams.population.num_byzantine = 6
    return config


def get_points() -> list[Point]:
    return product(
        zoo_mlp.defences(),
        axis("spec.attack", ASSAULTS),
        axis("hparams.learning.lr", RATES),
    )
