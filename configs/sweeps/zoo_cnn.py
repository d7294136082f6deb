"""The MNIST CNN (431,080 parameters): Corrected OSMD, eight of the best other rules, the mean.

    python scripts/sweep.py --config=configs/sweeps/zoo_cnn.py --data_dir=DIR
    python -m benchmarks.zoo results/zoo_cnn --plot=docs/figures/zoo_cnn.png

The attacks that were most often the worst on the MLP; 60 rounds, the same three worlds.
"""

from ml_collections import ConfigDict

from configs.sweeps import zoo_mlp
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point

RULES = [
    "fltrust",
    "clipped_clustering",
    "caf",
    "clustering",
    "dnc",
    "centered_clipping",
    "signguard",
]
ATTACKS = ["min_max", "min_sum", "norm_inflation", "ipm", "alie"]


def get_config() -> ConfigDict:
    config = zoo_mlp.get_config()
    config.spec.model = "mnist_cnn"
    config.spec.num_rounds, config.spec.eval_every = 60, 30
    return config


def defences(rules: list[str]) -> list[Point]:
    own = zoo_mlp.defence("own", sampler="corrected_osmd")
    mixed = zoo_mlp.defence("trimmed_mean", ("nnm",))
    return [own, mixed, *(zoo_mlp.defence(rule) for rule in [*rules, "mean"])]


def get_points() -> list[Point]:
    rate = axis("hparams.learning.lr", [0.1])
    return product(defences(RULES), zoo_mlp.attacks(ATTACKS), rate, zoo_mlp.worlds())
