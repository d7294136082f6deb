"""Four jobs at once on the built-in digits: four kinds of buyers, sellers that serve two of them.

    d2m run --config=configs/several_jobs.py
    d2m report results/several_jobs-seed0

Each job is about some of the ten digits and has a threshold and three buyers of its own; 24 sellers
hold data for two jobs each and deposit for both. About 12 s on two cores, most of it compilation.
Three of the four jobs deliver, at 97 to 100 % on their classes; job 3 asks for too much.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config

VALUES = (1_200_000, 1_000_000, 900_000, 700_000, 1_000_000, 850_000, 700_000, 600_000,
          800_000, 600_000, 500_000, 400_000)  # fmt: skip


def get_config() -> ConfigDict:
    return default_config(
        data={
            "name": "digits",
            "num_validation": 400,
            "job_classes": ((0, 1, 2, 3), (2, 3, 4, 5), (5, 6, 7), (7, 8, 9)),
        },
        spec={
            "model": "logreg",
            "num_jobs": 4,
            "num_sellers": 24,
            "num_sampled": 6,
            "num_rounds": 60,
            "batch_size": 16,
            "attack": "sign_flip",
            "num_buyers": 12,
            "num_nodes": 64,
        },
        hparams={
            "attack": {"sign_flip": {"scale": 10.0}},
            "learning": {"lr": 0.3},
            "population": {"breadth": 2, "num_byzantine": 3, "num_colluding": 8},
            "money": {
                "buyer_values": VALUES,
                "buyer_shading_bps": (10_000,) * 12,
                "seller_stake": 140_000,  # two deposits: a seller serves both jobs that it fits
                "node_stake": 80_000,  # a pledge to each of the four jobs
            },
            "requests": {
                "tags": (0b0001, 0b0010, 0b0100, 0b1000),
                "tau": (0.9, 0.85, 0.9, 0.99),
                "wants": (0, 1, 2, 3) * 3,
            },
        },
    )
