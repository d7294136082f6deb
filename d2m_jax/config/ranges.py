"""Which values a number may have, both ends allowed; every other number must only be finite."""

import functools
import math
from typing import Any

import jax

from d2m_jax.config.hparams import MARKET_RULES, HParams, is_amount
from d2m_jax.core.choices import lookup
from d2m_jax.core.money import INT_MAX, largest
from d2m_jax.core.rows import MAX_NORM

_MAX_FLOAT = 3e38  # of float32
RANGES: dict[str, tuple[float, float]] = {
    "learning.lr": (1e-30, 1e6),
    "learning.lr_local": (1e-30, 1e6),
    "learning.lr_final": (0, 1e6),
    "learning.momentum": (0, 0.9999),
    "learning.client_momentum": (0, 0.9999),
    "learning.server_decay": (0, 0.9999),
    "learning.adaptivity": (1e-12, 1e6),
    "learning.proximal": (0, 1e6),
    "learning.weight_decay": (0, 1e6),
    "learning.drop_out": (0, 1),
    "learning.straggle": (0, 1),
    "learning.staleness": (0, 100),
    "learning.delay_aversion": (0, 100),
    "availability.share": (0, 1),
    "availability.period": (1e-6, 1e6),
    "availability.spread": (0, 1e6),
    "delay.rounds": (0, 2**10),
    "delay.mean": (0, 1e6),
    "delay.spread": (0, 10),
    "tolerated_f": (-1, INT_MAX),
    "learning.max_norm": (1e-30, MAX_NORM),
    "privacy.clip": (1e-30, 1e6),
    "privacy.noise": (0, 1e6),
    "privacy.delta": (1e-30, 0.5),
    "privacy.density": (1e-6, 1),
    "privacy.resolution": (1e-12, 1),
    "conduct.spoil": (-1e6, 1e6),
    "conduct.vigilance": (0, 1),
    "conduct.false_dispute": (0, 1),
    "conduct.withheld_metric": (0, 1),
    "conduct.false_metric": (0, 1),
    "conduct.size_lie_bps": (1, 200_000),
    "conduct.tolerated_openings": (0, INT_MAX),
    "dispute.watchers": (0, 1e6),
    "dispute.watching": (0, 1),
    "dispute.censorship": (0, 0.999),
    "dispute.sybils": (1, 65_535),
    "dispute.inexact": (0, 1),
    "dispute.steps": (1, 2**30),
    "dispute.window": (0, 1e6),
    "dispute.budget": (0, 1e6),
    "dispute.judging": (0, 1e6),
    "defence.alpha": (1e-6, 1),
    "defence.eta": (0, 1e6),
    "defence.clip": (1e-3, 1e3),
    "defence.norm_memory": (0, 1),
    "defence.start_deviations": (0, 100),
    "defence.norm_growth": (1.001, 1e6),
    "defence.size_trust": (0, 1e3),
    "defence.duplicate_cosine": (-1, 2),
    "defence.free_ratio": (0, 1),
    "defence.moment_rate": (0, 1),
    "defence.useless": (-100, 1),
    "defence.harmful": (-100, 1),
    "defence.evidence_cap": (0, 1e6),
    "defence.trust_memory": (0, 1),
    "defence.suspicion_memory": (0, 1),
    "defence.harm_memory": (0, 1),
    "defence.readmission": (0, 1e3),
    "defence.trust_floor": (-1e3, 1e3),
    "defence.trust_limit": (0, 1e3),
    "defence.exclusion_log_odds": (0, 1e6),
    "defence.reject": (0, 1),
    "defence.drift_memory": (0, 1),
    "defence.drift_deviations": (0, 1e6),
    "defence.drift_gap": (0, 2),
    "defence.kinship": (0, 1e6),
    "defence.growth": (0, 100),
    "defence.majority": (0, 1),
    "defence.exponent_cap": (0, 80),
    "defence.distrust_penalty": (0, 1e3),
}


def check_ranges(hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for the first number that is out of its range."""
    leaves, tree = jax.tree.flatten(hparams)
    for leaf, (name, low, top) in zip(leaves, _surely_right(tree)):
        if not (type(leaf) in (int, float) and low <= leaf <= top):
            check_number(name, leaf)
    if not 0 < hparams.tau <= 1 or round(1e4 * float(hparams.tau)) < 1:
        raise ValueError(f"tau must lie in [0.0001, 1], not {hparams.tau}")


@functools.lru_cache(256)
def _surely_right(tree: Any) -> list[tuple[str, float, float]]:
    """Of each leaf of a tree its name, and between what any int or float is right."""
    paths = jax.tree_util.tree_flatten_with_path(jax.tree.unflatten(tree, range(tree.num_leaves)))
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths[0]]
    ranges = [RANGES.get(name, (-math.inf, math.inf)) for name in names]
    return [(n, max(low, -INT_MAX), min(top, INT_MAX)) for n, (low, top) in zip(names, ranges)]


def check_rule_names(hparams: HParams) -> None:
    """Raises a ValueError for a rule of the ledger that does not exist."""
    for name in hparams.rules:
        lookup(MARKET_RULES, name, "rule of the ledger")


def check_number(name: str, leaf: Any) -> None:
    """Raises a ValueError unless the number called `name` may have this value."""
    if isinstance(leaf, str) or not math.isfinite(leaf) or abs(leaf) > _MAX_FLOAT:
        raise ValueError(f"{name} must be a finite number, not {leaf!r}")
    most = largest() if is_amount(name) else INT_MAX
    if isinstance(leaf, int) and abs(leaf) > most:
        raise ValueError(f"{name} must fit into {most.bit_length() + 1} bits, not {leaf}")
    low, top = RANGES.get(name, (-math.inf, math.inf))
    if not low <= leaf <= top:
        raise ValueError(f"{name} must lie in [{low:g}, {top:g}], not {leaf}")
