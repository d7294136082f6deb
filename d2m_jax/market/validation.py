"""Whether a market makes sense, before anything compiles: one sentence for what does not.

`make_market` calls `check_market`, so that nothing is silently ignored from Python; scripts call
`validate`, which looks at everything. The checks of single things stand beside them: `config/`
(ranges, shapes), `secrecy.py`, `funds.py`, `cone/checks.py`, `ledger/`.
"""

import dataclasses
from typing import Any

import jax

from d2m_jax import aggregation, attacks, cone, privacy
from d2m_jax.config.forms import are_plain, check_forms, check_single
from d2m_jax.config.hparams import MARKET_RULES, HParams
from d2m_jax.config.ranges import check_ranges, check_rule_names
from d2m_jax.config.shapes import check_shapes
from d2m_jax.config.spec import DataSpec, Spec
from d2m_jax.core.choices import is_own, label, lookup, pick
from d2m_jax.core.counts import check_count
from d2m_jax.court.tournament import longest
from d2m_jax.data import SOURCES, as_partition
from d2m_jax.data.dealing import not_negative, positive, share
from d2m_jax.market.auction import format_of
from d2m_jax.market.choices import CHOICES, chosen, part_numbers
from d2m_jax.market.funds import auction_warnings, check_entries, check_money
from d2m_jax.market.job_data import check_job_classes
from d2m_jax.market.lateness import check_late_numbers, check_lateness
from d2m_jax.market.openings import survival
from d2m_jax.market.parts import cone_parts
from d2m_jax.market.requests import check_requests
from d2m_jax.market.secrecy import check_private_numbers, check_secrecy, secrecy_warnings
from d2m_jax.market.server import server_optimizer
from d2m_jax.tasks import Task


def validate(
    spec: Spec, hparams: HParams, data: DataSpec | None = None, task: Task | None = None
) -> list[str]:
    """Checks a market before a script compiles it.

    Args:
        spec: shapes and choices.
        hparams: plain numbers (not traced).
        data: where the examples come from; its own numbers are checked when they are dealt.
        task: what is learnt; without it, what depends on it is checked by `make_market`.

    Returns:
        Warnings about what is allowed but surprising, one sentence each.

    Raises:
        ValueError: the first thing that is wrong, as one sentence.
    """
    if data is not None:
        check_data(spec, data)
    check_choices(spec)
    check_shapes(spec)
    check_secrecy(spec)
    check_lateness(spec)
    if task is not None:
        check_market(spec, task)
    check_numbers(spec, hparams)
    warnings = supply_warnings(spec, hparams)
    warnings += secrecy_warnings(spec) + unit_warnings(spec, hparams, data)
    warnings += dispute_warnings(spec, hparams)
    return warnings + auction_warnings(spec, hparams) + cone_warnings(spec, hparams)


def check_one_job(spec: Spec, what: str) -> None:
    """Raises a ValueError, one sentence, where `what` can only play a market of one job."""
    if spec.num_jobs > 1:
        raise ValueError(
            f"{what} plays markets of one job: set spec.num_jobs = {spec.num_jobs} to 1 (several "
            "are traded by run, sweep and report, see docs/jobs.md)"
        )


def supply_warnings(spec: Spec, hparams: HParams) -> list[str]:
    """Whether sellers and nodes suffice for the jobs that there are."""
    who, rules = hparams.population, {**MARKET_RULES, **hparams.rules}
    matched, least = spec.num_sellers - who.num_strangers, rules.get("min_sellers", 1)
    if spec.num_jobs == 1:
        few = f"Only {matched} sellers carry the tags, so the job will be aborted."
        return [few] if matched < least else []
    fitting = matched * who.breadth // spec.num_jobs
    pledges = int(hparams.money.node_stake // max(rules["node_stake"], 1))
    found = []
    if fitting < least:
        found.append(f"Only {fitting} sellers fit each job, so jobs will be aborted.")
    deposits = int(hparams.money.seller_stake // max(rules["seller_deposit"], 1))
    if deposits < who.breadth:
        found.append(
            f"A seller fits {who.breadth} jobs and has deposits for {deposits}, so it serves those "
            "that close first: raise money.seller_stake and money.seller_funds."
        )
    if spec.sortition != "uniform":
        found.append(
            f"With sortition {label(spec.sortition)!r} a node pledges its whole stake to the job "
            "that closes first, so the other jobs are aborted: set spec.sortition to uniform."
        )
    elif pledges < spec.num_jobs:
        found.append(
            f"The stake of a node is pledged to {pledges} of the {spec.num_jobs} jobs at once, so "
            "the jobs that close last are aborted: raise money.node_stake and money.node_funds."
        )
    return found


def check_market(spec: Spec, task: Task) -> None:
    """Raises a ValueError, one sentence, for a spec that makes no market of this task."""
    check_choices(spec)
    check_shapes(spec)
    check_secrecy(spec, task)
    check_lateness(spec)
    needs = chosen(spec, "attack").data
    if "classes" in needs and not task.num_classes:
        raise ValueError(
            f"attack {label(spec.attack)!r} changes classes, and the labels of task {task.name!r} "
            "are numbers: choose another attack"
        )
    if "images" in needs and task.kind != "images":
        raise ValueError(
            f"attack {label(spec.attack)!r} stamps images, and task {task.name!r} is about "
            f"{task.kind}: choose another attack"
        )


def check_numbers(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for numbers that make no sense in a market of this spec.

    Args:
        spec: shapes and choices.
        hparams: plain numbers, or arrays that are not traced.
    """
    check_names(spec, hparams)
    check_single(hparams)
    plain: HParams = hparams if are_plain(hparams) else jax.tree.map(_plain, hparams)
    check_derived(spec, plain)
    check_units(spec, plain)
    check_people(spec, plain)
    check_ranges(plain)
    check_money(spec, plain)
    check_requests(spec, plain)
    check_private_numbers(spec, plain)
    check_late_numbers(spec, plain)


def _plain(number: Any) -> Any:
    return number.item() if hasattr(number, "item") else number


def check_names(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for what is wrong with numbers whatever their values.

    They may be traced: names, and how many entries there are, are static.
    """
    check_forms(hparams)
    check_rule_names(hparams)
    check_part_numbers(spec, hparams)
    check_entries(spec, hparams)


def check_derived(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError for a number that follows from the spec and is set to something else."""
    default = HParams()
    rounds = f"spec.num_rounds = {spec.num_rounds}"
    auction = f"spec.auction = {label(spec.auction)}"
    disputes = f"spec.dispute = {label(spec.dispute)}"
    stakes = f"spec.sortition = {label(spec.sortition)}"
    for name, value, usual, source in (
        ("defence.horizon", hparams.defence.horizon, default.defence.horizon, rounds),
        ("rules.num_rounds", hparams.rules.get("num_rounds"), default.rules["num_rounds"], rounds),
        ("rules.by_stake", hparams.rules.get("by_stake"), default.rules["by_stake"], stakes),
        ("rules.bisection", hparams.rules.get("bisection"), 0, disputes),
        *(
            (f"rules.{name}", hparams.rules.get(name), default.rules[name], auction)
            for name in format_of(spec.auction)
        ),
    ):
        if value not in (None, usual):
            raise ValueError(f"{name} follows from {source} in a market; set that")


def check_part_numbers(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError for a number that the chosen part does not have."""
    for choice in CHOICES.values():
        if choice.numbers is None:
            continue
        known = part_numbers(choice, getattr(spec, choice.field))
        for name in getattr(hparams, choice.numbers):
            what = f"number of {choice.what} {label(getattr(spec, choice.field))!r}"
            lookup(known, name, what)


def check_data(spec: Spec, data: DataSpec) -> None:
    """Raises a ValueError, one sentence, for a data set or a partition that does not exist."""
    pick(SOURCES, data.name, "data set")
    as_partition(data.partition)
    check_count("data.seed", data.seed)
    check_count("num_validation", data.num_validation)
    check_count("data.num_root", data.num_root)
    check_count("data.max_train", data.max_train)
    check_count("data.min_samples", data.min_samples, 1)
    check_count("data.unit_size", data.unit_size)
    check_job_classes(spec, data)
    if isinstance(data.partition, str):  # one of the user's own may mean something else
        check_partition_numbers(data)
    if data.num_validation < 2:
        raise ValueError(
            f"num_validation = {data.num_validation} leaves nothing to hold the metric against "
            "tau with; give the buyer at least 2 examples"
        )
    if not 0 <= data.correction_share < 1:
        raise ValueError(
            f"correction_share must lie in [0, 1), not {data.correction_share}: the verdict needs "
            "examples, too"
        )
    rule = chosen(spec, "aggregator")
    if rule is not None and "root" in getattr(rule, "uses", ()) and data.num_root < 1:
        raise ValueError(
            f"aggregator {label(spec.aggregator)} needs root examples: set data.num_root to at "
            "least 1"
        )


def check_partition_numbers(data: DataSpec) -> None:
    """Raises a ValueError, one sentence, for a number that no named partition takes."""
    positive("data.alpha", data.alpha)
    not_negative("data.sigma", data.sigma)
    share("data.gamma", data.gamma)
    check_count("data.classes_per_seller", data.classes_per_seller, 1)


def check_choices(spec: Spec) -> None:
    """Raises a ValueError, one sentence, for an unknown name or parts that exclude each other."""
    for field in CHOICES:
        chosen(spec, field)
    for field in ("pre_aggregators", "attack_options"):
        if not isinstance(getattr(spec, field), tuple | list):
            raise ValueError(f"{field} must be a tuple, not {getattr(spec, field)!r}")
    for option in spec.attack_options:
        if not isinstance(option, tuple | list) or len(option) != 2:
            raise ValueError(
                f"attack_options must be pairs of a name and a value, not {spec.attack_options!r}"
            )
    attacks.bind(chosen(spec, "attack"), **dict(spec.attack_options))
    for part in spec.pre_aggregators:
        pick(aggregation.PRE_AGGREGATORS, part, "pre-aggregator")
    if spec.aggregator == "own" and (spec.pre_aggregators or spec.preset != "paper"):
        raise ValueError(
            "pre_aggregators and preset change a named aggregator; with aggregator 'own' they do "
            "nothing: name one, or leave them out"
        )
    if spec.aggregator != "own":
        aggregation.make_aggregator(spec.aggregator, spec.pre_aggregators, spec.preset)
    if is_own(spec.server_optimizer):
        server_optimizer(spec.server_optimizer, HParams().learning)
    if spec.contribution == "own_work" and not (spec.unit_slots and spec.openings):
        raise ValueError(
            "contribution own_work holds an update against what its unit has shown: set "
            "spec.selling to units and spec.openings to at least 1"
        )
    if spec.contribution in ("unique", "own_work") and spec.num_sampled == 1:
        raise ValueError(
            f"contribution {spec.contribution} holds an update against the data of another seller "
            "of the round: set num_sampled to at least 2, or choose another contribution"
        )
    if spec.sampler in privacy.JUDGES and spec.aggregator != "own":
        raise ValueError(
            f"sampler {spec.sampler} brings its own aggregate: set aggregator to 'own', not "
            f"{label(spec.aggregator)!r}, or choose another sampler"
        )


def cone_warnings(spec: Spec, hparams: HParams) -> list[str]:
    """What CONE says of its numbers.

    Raises:
        ValueError: they are impossible, in one sentence.
    """
    return cone.validate(hparams.cone, spec.num_nodes, **cone_parts(spec, hparams))


def dispute_warnings(spec: Spec, hparams: HParams) -> list[str]:
    """Whether a case before the court may outlast what the ledger waits for."""
    if spec.dispute != "bisection":
        return []
    terms = {**part_numbers(CHOICES["dispute"], spec.dispute), **hparams.dispute}
    blocks = int(terms["window"]) + longest(
        *(int(terms[x]) for x in ("sybils", "budget", "judging"))
    )
    limit = {**MARKET_RULES, **hparams.rules}["timeout"]
    if blocks <= limit:
        return []
    return [
        f"A case of {int(terms['sybils'])} wrong claims may last {blocks} blocks, longer than "
        f"rules.timeout = {limit}: a job that is disputed so long may time out."
    ]


def check_concrete(spec: Spec, hparams: HParams) -> None:
    """As `check_numbers`, where no number is traced; of those only names can be looked at."""
    check_names(spec, hparams)
    leaves: list[Any] = jax.tree.leaves(hparams)
    if not any(isinstance(leaf, jax.core.Tracer) or getattr(leaf, "ndim", 0) for leaf in leaves):
        check_numbers(spec, hparams)


def check_units(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError for a size that no unit can claim."""
    share = hparams.conduct.size_lie_bps
    if spec.unit_slots and share != HParams().conduct.size_lie_bps:
        raise ValueError(
            f"conduct.size_lie_bps = {share} and spec.selling is units: all units have one size, "
            "who says that it holds more has to list units that it has not"
        )


def unit_warnings(spec: Spec, hparams: HParams, data: DataSpec | None) -> list[str]:
    """Whether a unit of copies is let pass, where the size of units is known.

    A copy is known when its original is opened, too: of n examples o are opened of both.
    """
    size = data.unit_size if data is not None else 0
    if not (spec.unit_slots and 0 < spec.openings <= size):
        return []
    tolerated = int(hparams.conduct.tolerated_openings)
    passes = survival(size, spec.openings, spec.openings, tolerated)
    if passes <= 0.5:
        return []
    return [
        f"A unit of copies is let pass with probability {passes:.2f}: raise spec.openings = "
        f"{spec.openings} of {size} examples, or lower conduct.tolerated_openings = {tolerated}."
    ]


def check_people(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for more bad parties than there are parties."""
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
