"""A table with a number to predict: 442 patients, 10 sellers of which 3 flip signs.

    python scripts/run_market.py --config=configs/diabetes.py

docs/tasks.md has what it comes to.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "diabetes", "num_validation": 100, "min_samples": 5, "partition": "iid"},
        spec={
            "model": "logreg",
            "num_sellers": 10,
            "num_sampled": 6,
            "batch_size": 16,
            "attack": "sign_flip",
        },
        hparams={
            "tau": 0.3,
            "learning": {"lr": 0.02, "momentum": 0.9},
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 3, "num_colluding": 12},
        },
    )
