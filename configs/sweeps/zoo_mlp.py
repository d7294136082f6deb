"""Every rule against every attack: MNIST MLP, 10 of 20 sellers a round, 0 to 40 % Byzantine.

    python scripts/sweep.py --config=configs/sweeps/zoo_mlp.py --data_dir=DIR
    python -m benchmarks.zoo results/zoo_mlp --plot=docs/figures/zoo_mlp.png

Dirichlet 0.5, batch 25, 40 rounds, three rates, three worlds: 24,030 trainings in some 70 minutes
on two cores (docs/zoo.md). Not in it: attacks that try the defence itself (`zoo_adaptive.py`) or
wait for its trust (`zoo_trusted.py`), what is refused before any rule sees it, backdoors, the twin
of `alie`, and the newer rules and attacks (`zoo_newer.py`).
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.aggregation import AGGREGATORS
from d2m_jax.attacks import ATTACKS
from d2m_jax.sweep import axis, product, together
from d2m_jax.sweep.space import Point

ADAPTIVE = ["agr_tailored", "whitebox", "opt_alie", "opt_ipm"]
LEFT_OUT = ["none", "nan", "inf", "huge", "alie_paper"]
BACKDOORS = [name for name, attack in ATTACKS.items() if attack.trigger is not None]
NEWER_ATTACKS = ["sparse_hybrid", "poisoned_fl", "relocated"]  # with `NEWER`: `zoo_newer.py`
NEWER = [
    *["martfl", "skymask", "learnt_weights", "fldetector", "flame", "lasa", "gas", "foundation"],
    *["projected", "projected_krum", "projected_caf", "projected_nnm"],
    *["sequential_clipping", "fedseca"],
]
TRUSTED = ["orthogonal", "hover", "overfit", "framing", "duel", "pawns"]
TRUSTED += ["drowning", "sleeper", "opportunist", "knock_out", "copycat"]
ELSEWHERE = [*ADAPTIVE, *TRUSTED, *LEFT_OUT, *BACKDOORS, *NEWER_ATTACKS]
FIXED = [name for name in ATTACKS if name not in ELSEWHERE]
SIX = ["sign_flip", "ipm", "alie", "norm_inflation", "min_max", "label_flip"]
SHARES = [2, 4, 6, 8]  # of 20 sellers
RATES = [0.1, 0.3, 1.0]  # the verdict examples choose one per cell, the test set reports
SEEDS = [0, 1, 2]  # of the sellers' data and of all else
MIXED = ["median", "trimmed_mean", "geometric_median"]  # with nnm before them, too


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "mnist", "alpha": 0.5, "num_validation": 400, "num_root": 100},
        spec={
            "model": "mlp",
            "num_sampled": 10,
            "batch_size": 25,
            "num_rounds": 40,
            "eval_every": 20,
            "sampler": "uniform",
            "aggregator": "mean",
            "contribution": "count",
        },
    )


def defence(rule: str, pre: tuple[str, ...] = (), sampler: str = "uniform") -> Point:
    return {"spec.sampler": sampler, "spec.aggregator": rule, "spec.pre_aggregators": pre}


def defences() -> list[Point]:
    """Every rule under uniform sampling, and Corrected OSMD."""
    plain = [defence(rule) for rule in AGGREGATORS if rule not in NEWER]
    mixed = [defence(rule, ("nnm",)) for rule in MIXED]
    return [*plain, *mixed, defence("own", sampler="corrected_osmd")]


def attacks(names: list[str]) -> list[Point]:
    """No attackers, and every attack at every share."""
    byzantine = "hparams.population.num_byzantine"
    nobody = {"spec.attack": "none", byzantine: 0}
    return [nobody, *product(axis("spec.attack", names), axis(byzantine, SHARES))]


def worlds() -> list[Point]:
    return together(axis("seed", SEEDS), axis("data.seed", SEEDS))


def get_points() -> list[Point]:
    return product(defences(), attacks(FIXED), axis("hparams.learning.lr", RATES), worlds())
