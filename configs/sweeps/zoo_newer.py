"""The newer rules beside Corrected OSMD, FLTrust and NNM, the newer attacks beside ALIE and IPM.

    python scripts/sweep.py --config=configs/sweeps/zoo_newer.py --out=results/zoo_newer
    python -m benchmarks.zoo results/zoo_newer

Built-in digits, MLP, 10 of 20 sellers a round, 6 of them Byzantine, 30 rounds, Dirichlet 0.5, two
worlds: 126 trainings, minutes on two quiet cores, most of them compilation.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.sweep import axis, product, together
from d2m_jax.sweep.space import Point

RULES = ["fltrust", "martfl", "skymask", "flame", "gas"]
ATTACKS = ["alie", "ipm", "min_max", "poisoned_fl", "relocated", "sparse_hybrid"]
BACKDOORS = ["neurotoxin", "edge_case"]


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "digits", "alpha": 0.5, "num_validation": 200, "num_root": 100},
        spec={
            "model": "mlp",
            "num_sampled": 10,
            "batch_size": 25,
            "num_rounds": 30,
            "eval_every": 15,
            "contribution": "count",
        },
        hparams={"learning": {"lr": 0.3}},
    )


def defence(rule: str, pre: tuple[str, ...] = (), sampler: str = "uniform") -> Point:
    return {"spec.sampler": sampler, "spec.aggregator": rule, "spec.pre_aggregators": pre}


def defences() -> list[Point]:
    plain = [defence(rule) for rule in RULES]
    mixed = defence("trimmed_mean", ("nnm",))
    return [defence("own", sampler="corrected_osmd"), mixed, *plain]


def get_points() -> list[Point]:
    byzantine = "hparams.population.num_byzantine"
    nobody = {"spec.attack": "none", byzantine: 0}
    bad = product(axis("spec.attack", [*ATTACKS, *BACKDOORS]), axis(byzantine, [6]))
    worlds = together(axis("seed", [0, 1]), axis("data.seed", [0, 1]))
    return product(defences(), [nobody, *bad], worlds)
