"""Heart disease in four hospitals, each a seller; one of them flips signs.

    python scripts/run_market.py --config=configs/heart_disease.py --data_dir=DIR

docs/tasks.md has what it comes to. DIR holds heart_disease/.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "heart_disease", "num_validation": 120, "partition": "clients"},
        spec={
            "model": "logreg",
            "num_sellers": 4,
            "num_sampled": 3,
            "batch_size": 32,
            "attack": "sign_flip",
        },
        hparams={
            "tau": 0.75,
            "learning": {"lr": 0.1, "momentum": 0.9},
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 1, "num_colluding": 12},
        },
    )
