"""Bad input gets one clear sentence before anything compiles. Host only.

Rooms check what is theirs (names, data, ranges of their own numbers); here are the checks that need
several of them. Read next: `market.py`.
"""

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from d2m_jax import aggregation, cone, incentives, privacy, sampling, sellers, tasks
from d2m_jax.attacks import ATTACKS, SCHEDULES, bind
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import DataSpec, Spec
from d2m_jax.core.choices import lookup
from d2m_jax.core.rows import MAX_NORM
from d2m_jax.data import PARTITIONS, SOURCES
from d2m_jax.ledger import DEFAULT_RULES, INT_MAX, check_rules, check_supply
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.server import SERVER_OPTIMIZERS

_MAX_FLOAT = 3e38  # of float32
MAX_BATCH = 2**16  # images that a seller looks at in one step
MAX_COUNT = 2**20  # of anything that a spec counts: parties, rounds, blocks, steps


def validate(spec: Spec, hparams: HParams, data: DataSpec | None = None) -> list[str]:
    """Checks a market before it is compiled.

    Args:
        spec: shapes and names.
        hparams: plain numbers (not traced).
        data: where the examples come from; its own numbers are checked when they are dealt.

    Returns:
        Warnings about what is allowed but surprising, one sentence each.

    Raises:
        ValueError: the first thing that is wrong, as one sentence.
    """
    if data is not None:
        lookup(SOURCES, data.name, "data set")
        lookup(PARTITIONS, data.partition, "partition")
        if data.seed < 0:
            raise ValueError(f"data.seed must not be negative, not {data.seed}")
        if data.num_validation < 2:
            raise ValueError(
                f"num_validation = {data.num_validation} leaves nothing to hold the metric against "
                "tau with; give the buyer at least 2 examples"
            )
        rule = aggregation.AGGREGATORS.get(spec.aggregator)
        if rule is not None and "root" in rule.uses and data.num_root < 1:
            raise ValueError(
                f"aggregator {spec.aggregator} needs root examples: set data.num_root to at least 1"
            )
    _names(spec)
    check_shapes(spec)
    _people(spec, hparams)
    _numbers(hparams)
    _money(spec, hparams)
    warnings = []
    who = hparams.population
    matched = spec.num_sellers - who.num_strangers
    if matched < hparams.rules.get("min_sellers", 1):
        warnings.append(f"Only {matched} sellers carry the tags, so the job will be aborted.")
    warnings += _auction_warnings(spec, hparams)
    return warnings + cone.validate(
        hparams.cone,
        spec.num_nodes,
        schedule=spec.set_schedule,
        stop_rule=spec.stop_rule,
        sortition=spec.sortition,
    )


def _auction_warnings(spec: Spec, hparams: HParams) -> list[str]:
    """Whether the steps from the reserve reach the second highest limit before the window ends."""
    rules = {**DEFAULT_RULES, **hparams.rules}
    values = zip(hparams.money.buyer_values, hparams.money.buyer_shading_bps)
    limits = sorted(value * shading // BPS for value, shading in values)
    bids = min(spec.num_blocks, rules["auction_window"]) * spec.num_buyers
    price = float(rules["reserve"])
    for _ in range(bids if len(limits) > 1 else 0):
        if price >= limits[-2]:
            break
        price += max(price * rules["min_increment_bps"] / BPS, 1.0)
    if spec.num_buyers < 2 or price >= limits[-2]:
        return []
    return [
        f"The auction ends before the buyers' limits: {bids} bids of at least "
        f"{rules['min_increment_bps'] / 100:g} % from the reserve of {rules['reserve']:,} reach "
        f"{price:,.0f}, the second limit is {limits[-2]:,}; so who speaks last wins."
    ]


def _names(spec: Spec) -> None:
    chosen: list[tuple[Any, str, str]] = [
        (tasks.MODELS, spec.model, "model"),
        (sampling.SAMPLERS, spec.sampler, "sampler"),
        ({"own": None, **aggregation.AGGREGATORS}, spec.aggregator, "aggregator"),
        (ATTACKS, spec.attack, "attack"),
        (SCHEDULES, spec.attack_schedule, "attack schedule"),
        (incentives.CONTRIBUTIONS, spec.contribution, "contribution"),
        (incentives.PAYMENTS, spec.payment, "payment"),
        ({"none": None, **sellers.MOMENTA}, spec.client_momentum, "client momentum"),
        (SERVER_OPTIMIZERS, spec.server_optimizer, "server optimiser"),
        (dict.fromkeys(privacy.UNITS), spec.privacy, "unit of privacy"),
        (cone.SCHEDULES, spec.set_schedule, "set schedule"),
        (cone.STOP_RULES, spec.stop_rule, "stop rule"),
        (cone.SORTITIONS, spec.sortition, "sortition"),
    ]
    for registry, name, what in chosen:
        lookup(registry, name, what)
    if spec.privacy == "example" and spec.local_steps > 1:
        raise ValueError(
            f"privacy per example is accounted for one step a round; local_steps is "
            f"{spec.local_steps}: set it to 1, or privacy to 'update'"
        )
    if spec.scaffold and (spec.client_momentum, spec.privacy) != ("none", "none"):
        raise ValueError(
            f"scaffold corrects plain local gradients: set client_momentum and privacy to 'none', "
            f"not {spec.client_momentum!r} and {spec.privacy!r}"
        )
    for option in spec.attack_options:
        if not isinstance(option, tuple | list) or len(option) != 2:
            raise ValueError(
                f"attack_options must be pairs of a name and a value, not {spec.attack_options!r}"
            )
    _secrecy(spec)
    bind(ATTACKS[spec.attack], **dict(spec.attack_options))
    for name in spec.pre_aggregators:
        lookup(aggregation.PRE_AGGREGATORS, name, "pre-aggregator")
    if spec.aggregator == "own" and (spec.pre_aggregators or spec.preset != "paper"):
        raise ValueError(
            "pre_aggregators and preset change a named aggregator; with aggregator 'own' they do "
            "nothing: name one, or leave them out"
        )
    if spec.aggregator != "own":
        aggregation.make_aggregator(spec.aggregator, spec.pre_aggregators, spec.preset)
    if spec.sampler == "corrected_osmd" and spec.aggregator != "own":
        raise ValueError(
            f"sampler corrected_osmd brings its own aggregate: set aggregator to 'own', not "
            f"{spec.aggregator!r}, or choose another sampler"
        )


def _secrecy(spec: Spec) -> None:
    """Partial models and secure sums do not go with every other choice."""
    if not (spec.partial or spec.secure_group):
        return
    what = "partial models" if spec.partial else "secure sums"
    rule = spec.sampler if spec.sampler == "corrected_osmd" else spec.aggregator
    if spec.partial and spec.secure_group:
        raise ValueError(
            "partial models and secure sums cannot be combined: how many sellers of a group cover "
            "a parameter would have to be known"
        )
    if spec.secure_group:
        privacy.check_secure(rule, spec.num_sampled, spec.secure_group)
    if spec.sampler != "uniform" or spec.aggregator == "own":
        raise ValueError(
            f"{what} need sampler 'uniform' and a named aggregator, not sampler "
            f"{spec.sampler!r} with aggregator {spec.aggregator!r}"
        )
    if spec.scaffold:
        raise ValueError(f"{what} do not go with scaffold, which corrects whole single updates")
    if spec.secure_group and rule in privacy.BY_SELLER:
        raise ValueError(f"rule {rule!r} knows sellers apart, which secure sums hide")
    if spec.secure_group and spec.contribution not in privacy.GROUP_CONTRIBUTIONS:
        raise ValueError(
            f"contribution {spec.contribution!r} needs single updates, which secure sums hide; "
            f"valid: {', '.join(privacy.GROUP_CONTRIBUTIONS)}"
        )
    if not spec.partial:
        return
    wrong = {
        "model": (spec.model != "mlp", "mlp"),  # cut along its hidden units
        "aggregator": (rule not in privacy.SUM_RULES, "mean"),  # others compare rows
        "pre_aggregators": (bool(spec.pre_aggregators), "none"),
        "privacy": (spec.privacy == "example", "none' or 'update"),
        "client_momentum": (spec.client_momentum != "none", "none"),
    }
    for field, (is_wrong, wanted) in wrong.items():
        if is_wrong:
            raise ValueError(
                f"partial models need {field} '{wanted}', not {getattr(spec, field)!r}: each "
                "seller trains other parameters"
            )


def check_shapes(spec: Spec) -> None:
    """Raises a ValueError, one sentence, for counts that do not make a market."""
    for name in (
        "num_sellers",
        "num_sampled",
        "num_rounds",
        "eval_every",
        "batch_size",
        "local_steps",
        "num_buyers",
        "num_blocks",
        "num_nodes",
    ):
        if getattr(spec, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(spec, name)}")
        most = MAX_BATCH if name == "batch_size" else MAX_COUNT
        if getattr(spec, name) > most:
            raise ValueError(f"{name} must be at most {most:,}, not {getattr(spec, name):,}")
    if spec.num_sampled > spec.num_sellers:
        raise ValueError(
            f"num_sampled = {spec.num_sampled} sellers cannot be drawn from num_sellers = "
            f"{spec.num_sellers}"
        )
    if spec.num_rounds % spec.eval_every:
        raise ValueError(
            f"eval_every = {spec.eval_every} must divide num_rounds = {spec.num_rounds}"
        )


def _people(spec: Spec, hparams: HParams) -> None:
    who = hparams.population
    for field in dataclasses.fields(who):
        if getattr(who, field.name) < 0:
            raise ValueError(f"{field.name} must not be negative, not {getattr(who, field.name)}")
    bad_sellers = who.num_byzantine + who.num_tag_liars + who.num_strangers
    if bad_sellers > spec.num_sellers:
        raise ValueError(
            f"num_byzantine + num_tag_liars + num_strangers = {bad_sellers} is more than the "
            f"num_sellers = {spec.num_sellers} that there are"
        )
    bad_nodes = (
        who.num_colluding + who.num_lone_liars + who.num_silent + who.num_copying + who.num_adaptive
    )
    if bad_nodes > spec.num_nodes:
        raise ValueError(
            f"the misbehaving nodes ({bad_nodes}) are more than the num_nodes = {spec.num_nodes} "
            "that there are"
        )
    if hparams.tolerated_f > spec.num_sampled:
        raise ValueError(
            f"tolerated_f = {hparams.tolerated_f} is more than num_sampled = {spec.num_sampled}"
        )


# Ranges of numbers, both ends allowed; every other number must only be finite.
_RANGES: dict[str, tuple[float, float]] = {
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
    "defence.trust_limit": (0, 1e3),
    "defence.exclusion_log_odds": (0, 1e6),
    "defence.reject": (0, 1),
    "defence.drift_memory": (0, 1),
    "defence.drift_deviations": (0, 1e6),
    "defence.drift_gap": (0, 2),
    "defence.exponent_cap": (0, 80),
    "defence.distrust_penalty": (0, 1e3),
}


def _numbers(hparams: HParams) -> None:
    for path, leaf in jax.tree_util.tree_flatten_with_path(hparams)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if isinstance(leaf, str) or not math.isfinite(leaf) or abs(leaf) > _MAX_FLOAT:
            raise ValueError(f"{name} must be a finite number, not {leaf!r}")
        if isinstance(leaf, int) and abs(leaf) > INT_MAX:
            raise ValueError(f"{name} must fit into 32 bits, not {leaf}")
        low, top = _RANGES.get(name, (-math.inf, math.inf))
        if not low <= leaf <= top:
            raise ValueError(f"{name} must lie in [{low:g}, {top:g}], not {leaf}")
    if not 0 < hparams.tau <= 1 or round(1e4 * hparams.tau) < 1:
        raise ValueError(f"tau must lie in [0.0001, 1], not {hparams.tau}")


def _money(spec: Spec, hparams: HParams) -> None:
    money, rules = hparams.money, {**DEFAULT_RULES, **hparams.rules}
    check_rules({**rules, "num_rounds": spec.num_rounds + 1})
    for name in ("buyer_values", "buyer_shading_bps"):
        if len(getattr(money, name)) != spec.num_buyers:
            raise ValueError(
                f"money.{name} has {len(getattr(money, name))} entries for num_buyers = "
                f"{spec.num_buyers}"
            )
        for value in getattr(money, name):
            if not isinstance(value, int) or not 0 <= value <= INT_MAX:
                raise ValueError(f"money.{name} holds {value!r}, which is no amount of units")
    windows = ("auction_window", "challenge_window", "timeout")
    blocks = sum(rules[name] for name in windows) + 64 * (spec.num_rounds + spec.num_blocks + 1)
    if blocks > INT_MAX:
        raise ValueError(
            f"the windows of the rules and the rounds add up to {blocks} blocks; a ledger counts "
            f"to 2**31 - 1"
        )
    for name in ("buyer_funds", "seller_funds", "node_funds"):
        if getattr(money, name) < 0:
            raise ValueError(f"money.{name} must not be negative, not {getattr(money, name)}")
    check_supply(
        np.full(spec.num_buyers, money.buyer_funds, object),
        np.full(spec.num_sellers, money.seller_funds, object),
        np.full(spec.num_nodes, money.node_funds, object),
    )
    for role, least in (("seller", rules["seller_deposit"]), ("node", rules["node_stake"])):
        stake, funds = getattr(money, f"{role}_stake"), getattr(money, f"{role}_funds")
        if stake < least:
            what = "deposit" if role == "seller" else "stake"
            raise ValueError(
                f"money.{role}_stake = {stake} is below the smallest {what} of a {role}, "
                f"rules.{role}_{what} = {least}"
            )
        if stake > funds:
            raise ValueError(
                f"money.{role}_stake = {stake} is more than money.{role}_funds = {funds}"
            )
