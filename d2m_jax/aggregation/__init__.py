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
from d2m_jax.aggregation.centre import centered_clipping, geometric_median
from d2m_jax.aggregation.clusters import clipped_clustering, clustering, signguard
from d2m_jax.aggregation.coordinate import mean, median, trimmed_mean
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
from d2m_jax.aggregation.nearest import meamed, phocas
from d2m_jax.aggregation.norms import cge, norm_clipping
from d2m_jax.aggregation.premix import arc, bucketing, clipping, nnm
from d2m_jax.aggregation.signs import robust_learning_rate, sign_majority
from d2m_jax.aggregation.spectral import caf, dnc
from d2m_jax.aggregation.subsets import mda, smea
from d2m_jax.aggregation.trust import fltrust, zeno
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
    **hyper) -> (aggregate [D], state)` drops rows that are not finite, applies the pre-aggregators
    in order, then the rule; `uses` says which of the keywords it has to be given.

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
    "clipped_clustering": Rule(clipped_clustering, init=init_norms, step=clipped_clustering_step),
    "centered_clipping": Rule(centered_clipping, presets=True, init=init_centre, step=centre_step),
    "foolsgold": Rule(foolsgold, init=init_sums, step=foolsgold_step, by_seller=True),
    "safeguard": Rule(safeguard, init=init_windows, step=safeguard_step, by_seller=True),
    "robust_learning_rate": Rule(robust_learning_rate),
    "sign_majority": Rule(sign_majority),
    "fltrust": Rule(fltrust, uses=("root",)),
    "zeno": Rule(zeno, uses=("losses",)),
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
    "dnc",
    "finite_mask",
    "fltrust",
    "foolsgold",
    "geometric_median",
    "krum",
    "make_aggregator",
    "mda",
    "meamed",
    "mean",
    "median",
    "monna",
    "multi_krum",
    "nnm",
    "norm_clipping",
    "phocas",
    "robust_learning_rate",
    "safeguard",
    "sign_majority",
    "signguard",
    "smea",
    "trimmed_mean",
    "zeno",
]
