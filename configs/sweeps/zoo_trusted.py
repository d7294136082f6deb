"""Attacks that a defence trusts: they keep what it looks at, or wait. Digits, 20 to 40 %.

    python scripts/sweep.py --config=configs/sweeps/zoo_trusted.py
    python -m benchmarks.zoo results/zoo_trusted

Corrected OSMD, FLTrust, and NNM + trimmed mean; MLP, 10 of 20 sellers a round, 60 rounds, eight
worlds. On MNIST as `zoo_mlp.py` with `--config.data.name=mnist --data_dir=DIR`.
"""

from ml_collections import ConfigDict

from configs.sweeps import zoo_mlp
from d2m_jax.sweep import axis, product, together
from d2m_jax.sweep.space import Point

SHARES = [4, 6, 8]  # of 20 sellers
SEEDS = range(8)


def get_config() -> ConfigDict:
    config = zoo_mlp.get_config()
    config.data.name = "digits"
    config.spec.num_rounds, config.spec.eval_every = 60, 60
    config.hparams.learning.lr = 0.3
    return config


def get_points() -> list[Point]:
    defences = [
        zoo_mlp.defence("own", sampler="corrected_osmd"),
        zoo_mlp.defence("fltrust"),
        zoo_mlp.defence("trimmed_mean", ("nnm",)),
    ]
    byzantine = "hparams.population.num_byzantine"
    nobody = {"spec.attack": "none", byzantine: 0}
    attacks = product(axis("spec.attack", zoo_mlp.TRUSTED), axis(byzantine, SHARES))
    worlds = together(axis("seed", SEEDS), axis("data.seed", SEEDS))
    return product(defences, [nobody, *attacks], worlds)
