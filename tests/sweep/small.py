"""A sweep that many tests share: 36 small markets, one program."""

from d2m_jax import default_config
from d2m_jax.sweep import axis, make_plan, product, together

SPEC = {
    "model": "logreg",
    "num_sellers": 8,
    "num_sampled": 6,
    "num_rounds": 8,
    "eval_every": 4,
    "batch_size": 16,
    "num_buyers": 3,
    "num_blocks": 12,
    "num_nodes": 24,
    "sampler": "uniform",
    "aggregator": "mean",
    "contribution": "count",
}
BUYERS = {"buyer_values": (900_000, 700_000, 500_000), "buyer_shading_bps": (10_000,) * 3}


def base(**spec):
    config = default_config(
        data={"num_validation": 100},
        spec={**SPEC, **spec},
        hparams={
            "tau": 0.6,
            "learning": {"lr": 0.3},
            "population": {"num_colluding": 4},
            "money": BUYERS,
        },
    )
    return config.to_dict()


def points():
    """Stateful and stateless rules and attacks, own data seeds, numbers of an attack."""
    return product(
        axis("spec.aggregator", ["mean", "krum", "centered_clipping"]),
        axis("spec.attack", ["sign_flip", "mimic_variance", "label_flip"]),
        together(
            axis("hparams.population.num_byzantine", [1, 3]),
            axis("hparams.attack.sign_flip.scale", [0.5, 50.0]),
        ),
        together(axis("seed", [0, 1]), axis("data.seed", [0, 1])),
    )


def plan(chosen=None):
    return make_plan(base(), points() if chosen is None else chosen)
