"""Writes byzfl.npz, the outputs of ByzFL that `test_byzfl.py` compares with.

Needs byzfl 0.0.11 and torch in an environment of their own (their pins contradict ours); run as
`python generate_byzfl.py` in this folder. Only its numpy path (float64) is used. Every input is a
float32 number, every object is fresh, and inputs are copied, since Clipping and ARC overwrite them.
"""

import pathlib

import byzfl
import numpy as np

CASES = {"example": (3, 3, 1), "a": (8, 20, 2), "b": (15, 12, 5)}


def rules(f: int) -> dict:
    """Name in the file -> call; names are `rule` or `rule.variant`."""
    return {
        "mean": byzfl.Average(),
        "median": byzfl.Median(),
        "trimmed_mean": byzfl.TrMean(f=f),
        "trimmed_mean.f0": byzfl.TrMean(f=0),
        "geometric_median": byzfl.GeometricMedian(),
        "geometric_median.long": byzfl.GeometricMedian(nu=0.001, T=20),
        "krum": byzfl.Krum(f=f),
        "multi_krum": byzfl.MultiKrum(f=f),
        "mda": byzfl.MDA(f=f),
        "monna": byzfl.MoNNA(f=f, idx=1),
        "meamed": byzfl.Meamed(f=f),
        "centered_clipping": byzfl.CenteredClipping(),
        "centered_clipping.tight": byzfl.CenteredClipping(L=3, tau=1.5),
        "nnm": byzfl.NNM(f=f),
        "clipping": byzfl.Clipping(),
        "clipping.tight": byzfl.Clipping(c=0.5),
        "arc": byzfl.ARC(f=f),
    }


def main() -> None:
    out = {}
    for seed, (case, (n, d, f)) in enumerate(CASES.items()):
        if case == "example":
            x = np.arange(1.0, 10.0).reshape(3, 3)
        else:
            rng = np.random.default_rng(seed)
            x = rng.normal(0.3, 1.0, size=(n, d)) * rng.uniform(0.5, 2.0, size=(n, 1))
            x[:f] = x[:f] * 3.0 + 2.0
            x = x.astype(np.float32).astype(np.float64)
        out[f"{case}/x"], out[f"{case}/f"] = x, f
        for name, rule in rules(f).items():
            out[f"{case}/{name}"] = np.array(rule(x.copy()))
        carried = byzfl.CenteredClipping(tau=2.0)
        out[f"{case}/centered_clipping.carried"] = np.array(
            [carried(x * scale) for scale in (1.0, -0.5, 2.0)]
        )
        out[f"{case}/nnm+trimmed_mean"] = byzfl.TrMean(f=f)(byzfl.NNM(f=f)(x.copy()))
        clipped = byzfl.Clipping(c=2.0)(x.copy())
        out[f"{case}/clipping+nnm+trimmed_mean"] = byzfl.TrMean(f=f)(byzfl.NNM(f=f)(clipped))
    np.savez_compressed(pathlib.Path(__file__).with_name("byzfl.npz"), **out)


if __name__ == "__main__":
    main()
