"""The MNIST CNN (431,080 parameters): five good rules, Corrected OSMD and the mean.

    python scripts/sweep.py --config=configs/sweeps/zoo_cnn.py --data_dir=DIR
    python -m benchmarks.zoo results/zoo_cnn

Four attacks by 4 and 8 of 20 sellers, and none; 100 rounds.
"""

from ml_collections import ConfigDict

from configs.sweeps import zoo_mlp
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point

RULES = ["multi_krum", "trimmed_mean", "geometric_median", "centered_clipping"]
ATTACKS = ["sign_flip", "ipm", "alie", "min_max"]


def get_config() -> ConfigDict:
    config = zoo_mlp.get_config()
    config.spec.model = "mnist_cnn"
    config.spec.num_rounds, config.spec.eval_every = 100, 50
    config.hparams.learning.lr = 0.1
    return config


def get_points() -> list[Point]:
    defences = [zoo_mlp.defence(rule) for rule in ["mean", *RULES]]
    defences.append(zoo_mlp.defence("trimmed_mean", ("nnm",)))
    defences.append(zoo_mlp.defence("own", sampler="corrected_osmd"))
    byzantine = "hparams.population.num_byzantine"
    nobody = {"spec.attack": "none", byzantine: 0}
    return product(
        defences,
        [nobody, *product(axis("spec.attack", ATTACKS), axis(byzantine, [4, 8]))],
        axis("hparams.learning.lr", [0.1]),
    )
