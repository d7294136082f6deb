"""Byzantine sellers that also claim twenty times their size, against Corrected OSMD.

    python scripts/sweep.py --config=configs/sweeps/size_lie.py

Digits, MLP, 10 of 20 sellers a round, 60 rounds, 64 worlds of each kind: docs/corrected_osmd.md.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "digits"},
        spec={
            "model": "mlp",
            "sampler": "corrected_osmd",
            "num_sampled": 10,
            "num_rounds": 60,
            "eval_every": 15,
        },
    )


def get_points() -> list[Point]:
    attackers = product(
        axis("spec.attack", ["sign_flip", "label_flip"]),
        axis("hparams.population.num_byzantine", [6, 8, 9]),
        axis("hparams.conduct.size_lie_bps", [10_000, 200_000]),
    )
    nobody = {"hparams.population.num_byzantine": 0}
    return product([nobody, *attackers], axis("seed", range(64)))
