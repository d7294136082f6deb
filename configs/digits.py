"""The first market: built-in digits, 20 sellers of which 6 flip signs, 64 nodes, 12 colluding.

    python scripts/run_market.py --config=configs/digits.py

About 8 s on two cores, most of it compilation, and 3.5 s the next time; about 94 % test accuracy.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "digits"},
        spec={"model": "mlp", "attack": "sign_flip"},
        hparams={
            "tau": 0.9,
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 6, "num_colluding": 12},
        },
    )
