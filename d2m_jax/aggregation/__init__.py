"""Robust aggregation: `rule(updates [S, D], f, *, mask=None, **hyper) -> aggregate [D]`.

Rules and pre-aggregators are importable by name and listed in the two tables at the bottom. Use
`make_aggregator` for any rule with its memory and the policy for bad rows; read `masks.py` for that
policy and the rule for ties.
"""

from collections.abc import Sequence
from typing import Any

from d2m_jax.aggregation.base import (
    PreAggregator,
    Rule,
    aggregate_tree,
    as_rule,
    build_aggregator,
    chain,
    resolve,
)
from d2m_jax.aggregation.baseline import init_baseline, martfl, martfl_step
from d2m_jax.aggregation.centre import centered_clipping, geometric_median
from d2m_jax.aggregation.clusters import clipped_clustering, clustering, signguard
from d2m_jax.aggregation.coordinate import mean, median, trimmed_mean
from d2m_jax.aggregation.curvature import fldetector, fldetector_step, init_watch
from d2m_jax.aggregation.deepsight import deepsight
from d2m_jax.aggregation.distance import bulyan, krum, monna, multi_krum
from d2m_jax.aggregation.history import (
    centre_step,
    clipped_clustering_step,
    foolsgold,
    foolsgold_step,
    init_centre,
    init_norms,
    init_sums,
    init_windows,
    safeguard,
    safeguard_step,
)
from d2m_jax.aggregation.layers import lasa
from d2m_jax.aggregation.learnt import learnt_weights
from d2m_jax.aggregation.majority import flame
from d2m_jax.aggregation.mask_learning import skymask
from d2m_jax.aggregation.nearest import meamed, phocas
from d2m_jax.aggregation.norms import cge, norm_clipping
from d2m_jax.aggregation.premix import arc, bucketing, clipping, nnm
from d2m_jax.aggregation.projection import (
    projected,
    projected_caf,
    projected_krum,
    projected_nnm,
)
from d2m_jax.aggregation.sequential import sequential_clipping, sequential_step
from d2m_jax.aggregation.signs import fedseca, robust_learning_rate, sign_majority
from d2m_jax.aggregation.spectral import caf, dnc
from d2m_jax.aggregation.subsets import mda, smea
from d2m_jax.aggregation.trust import fltrust, zeno
from d2m_jax.aggregation.wrapped import foundation, gas
from d2m_jax.core.protocols import Aggregator, RuleFn
from d2m_jax.core.rows import finite_mask


def make_aggregator(
    name: str | RuleFn,
    pre: str | PreAggregator | Sequence[str | PreAggregator] = (),
    preset: str = "paper",
    **static: Any,
) -> Aggregator:
    """Any rule as a pair `init(num_sellers, dim) -> state` and `apply`, with the bad-row policy.

    `apply(state, updates [S, D], f, mask=None, *, indices=None, key=None, root=None, losses=None,
    losses_of=None, layers=None, outputs_of=None, **hyper) -> (aggregate [D], state)` drops rows
    that are not finite, applies the pre-aggregators in order, then the rule; `uses` says which of
    the keywords it has to be given (`key`, `layers` and `outputs_of` may be missing).

    Args:
        name: of a rule in AGGREGATORS, or a function of that form.
        pre: one or several names from PRE_AGGREGATORS, or functions, for example
            `partial(bucketing, size=3)`.
        preset: "paper" or "byzfl", where the definitions differ.
        static: keywords of the rule that are the same in every round; traced numbers may be
            given here (inside the traced function) or to `apply`.

    Raises:
        ValueError: an unknown name or preset (the message lists the valid ones); later, a
            missing input, or bucketing before a rule that knows sellers apart.
    """
    rule, parts = resolve(AGGREGATORS, PRE_AGGREGATORS, name, pre, preset)
    return build_aggregator(rule, parts, preset, **static)


AGGREGATORS: dict[str, Rule] = {
    "mean": Rule(mean),
    "median": Rule(median),
    "trimmed_mean": Rule(trimmed_mean),
    "meamed": Rule(meamed),
    "phocas": Rule(phocas),
    "geometric_median": Rule(geometric_median, presets=True),
    "krum": Rule(krum, presets=True),
    "multi_krum": Rule(multi_krum, presets=True),
    "bulyan": Rule(bulyan),
    "mda": Rule(mda),
    "smea": Rule(smea),
    "monna": Rule(monna),
    "cge": Rule(cge),
    "norm_clipping": Rule(norm_clipping, uses=("key",)),
    "caf": Rule(caf),
    "dnc": Rule(dnc, uses=("key",)),
    "signguard": Rule(signguard, uses=("key",)),
    "clustering": Rule(clustering),
    "projected": Rule(projected, uses=("key",)),
    "projected_krum": Rule(projected_krum, uses=("key",)),
    "projected_caf": Rule(projected_caf, uses=("key",)),
    "projected_nnm": Rule(projected_nnm, uses=("key",)),
    "gas": Rule(gas, uses=("key",)),
    "foundation": Rule(foundation),
    "lasa": Rule(lasa, uses=("layers",)),
    "deepsight": Rule(deepsight, uses=("layers", "outputs_of")),
    "flame": Rule(flame, uses=("key",)),
    "clipped_clustering": Rule(clipped_clustering, init=init_norms, step=clipped_clustering_step),
    "centered_clipping": Rule(centered_clipping, presets=True, init=init_centre, step=centre_step),
    "sequential_clipping": Rule(
        sequential_clipping, uses=("key",), init=init_centre, step=sequential_step
    ),
    "foolsgold": Rule(foolsgold, init=init_sums, step=foolsgold_step, by_seller=True),
    "safeguard": Rule(safeguard, init=init_windows, step=safeguard_step, by_seller=True),
    "fldetector": Rule(fldetector, init=init_watch, step=fldetector_step, by_seller=True),
    "robust_learning_rate": Rule(robust_learning_rate),
    "sign_majority": Rule(sign_majority),
    "fedseca": Rule(fedseca),
    "fltrust": Rule(fltrust, uses=("root",)),
    "zeno": Rule(zeno, uses=("losses",)),
    "learnt_weights": Rule(learnt_weights, uses=("losses_of",)),
    "skymask": Rule(skymask, uses=("root", "losses_of")),
    "martfl": Rule(
        martfl, uses=("root", "losses"), init=init_baseline, step=martfl_step, by_seller=True
    ),
}

PRE_AGGREGATORS: dict[str, PreAggregator] = {
    "nnm": nnm,
    "bucketing": bucketing,
    "clipping": clipping,
    "arc": arc,
}

__all__ = [
    "AGGREGATORS",
    "PRE_AGGREGATORS",
    "Aggregator",
    "PreAggregator",
    "Rule",
    "RuleFn",
    "aggregate_tree",
    "arc",
    "as_rule",
    "bucketing",
    "bulyan",
    "caf",
    "centered_clipping",
    "cge",
    "chain",
    "clipped_clustering",
    "clipping",
    "clustering",
    "deepsight",
    "dnc",
    "fedseca",
    "finite_mask",
    "flame",
    "fldetector",
    "fltrust",
    "foolsgold",
    "foundation",
    "gas",
    "geometric_median",
    "krum",
    "lasa",
    "learnt_weights",
    "make_aggregator",
    "martfl",
    "mda",
    "meamed",
    "mean",
    "median",
    "monna",
    "multi_krum",
    "nnm",
    "norm_clipping",
    "phocas",
    "projected",
    "projected_caf",
    "projected_krum",
    "projected_nnm",
    "robust_learning_rate",
    "safeguard",
    "sequential_clipping",
    "sign_majority",
    "signguard",
    "skymask",
    "smea",
    "trimmed_mean",
    "zeno",
]
