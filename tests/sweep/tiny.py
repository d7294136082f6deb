"""A sweep file for the tests of the script: 12 runs, one program."""

from d2m_jax import default_config
from d2m_jax.sweep import axis, product
from tests.sweep.small import BUYERS, SPEC


def get_config():
    return default_config(
        data={"num_validation": 100},
        spec={**SPEC, "num_rounds": 16_000, "eval_every": 1_600},  # long enough to be stopped
        hparams={"tau": 0.6, "money": BUYERS},
    )


def get_points():
    return product(
        axis("hparams.population.num_byzantine", [0, 1, 2]),
        axis("seed", range(4)),
        axis("spec.attack", ["sign_flip"]),
    )


CONSTRAINTS = {}
