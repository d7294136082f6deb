"""A table with two classes: 30 measurements of 569 tumours, 10 sellers of which 3 flip signs.

    python scripts/run_market.py --config=configs/breast_cancer.py

About 20 s on two cores, most of it compilation; docs/tasks.md has what it comes to.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "breast_cancer", "num_validation": 120, "min_samples": 5},
        spec={
            "model": "logreg",
            "num_sellers": 10,
            "num_sampled": 6,
            "batch_size": 16,
            "attack": "sign_flip",
        },
        hparams={
            "tau": 0.9,
            "learning": {"lr": 0.1, "momentum": 0.9},
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 3, "num_colluding": 12},
        },
    )
