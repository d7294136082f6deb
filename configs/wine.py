"""A small table with three classes: 178 wines, 6 sellers of which 2 flip signs.

    python scripts/run_market.py --config=configs/wine.py

docs/tasks.md has what it comes to.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "wine", "num_validation": 40, "min_samples": 5, "partition": "iid"},
        spec={
            "model": "logreg",
            "num_sellers": 6,
            "num_sampled": 4,
            "batch_size": 8,
            "num_rounds": 60,
            "eval_every": 6,
            "attack": "sign_flip",
        },
        hparams={
            "tau": 0.85,
            "learning": {"lr": 0.1, "momentum": 0.9},
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 2, "num_colluding": 12},
        },
    )
