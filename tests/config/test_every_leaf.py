"""Nothing of a configuration is without effect: every number moves an outcome or is refused.

Each number is changed alone, in the first of a few worlds in which it means something.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.population import Population
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.choices import numbers
from d2m_jax.data import load
from d2m_jax.market import DISPUTES, deal
from d2m_jax.market.bidding import Bidding

SMALL = {
    "model": "logreg",
    "num_sellers": 8,
    "num_sampled": 5,
    "num_rounds": 8,
    "eval_every": 4,
    "batch_size": 8,
    "num_nodes": 16,
    "num_blocks": 6,
    "num_buyers": 3,
    "attack": "alie",
}
PEOPLE = {"num_byzantine": 2, "num_colluding": 5, "num_lone_liars": 1, "num_silent": 1}
BUYERS = {"buyer_values": (900_000, 700_000, 500_000), "buyer_shading_bps": (10_000,) * 3}
CAPTURED = {"num_colluding": 11, "num_byzantine": 2}
UNIFORM = {"sampler": "uniform", "aggregator": "mean", "contribution": "count"}
WORLDS = {  # name: fields of the spec, of the population, of the learning, of the conduct
    "plain": ({}, PEOPLE, {"lr": 0.3}, {}),
    "disputed": ({}, PEOPLE, {"lr": 0.3}, {"false_dispute": 1.0}),
    "aborted": ({}, {"num_strangers": 8}, {"lr": 0.3}, {}),
    "captured": ({"attack": "sign_flip"}, CAPTURED, {"lr": 0.3}, {}),
    "harmed": ({"attack": "sign_flip", "num_rounds": 24, "eval_every": 24}, {"num_byzantine": 3},
               {"lr": 0.3}, {}),
    "several steps": (
        {"local_steps": 3, "client_momentum": "ema", **UNIFORM, "aggregator": "trimmed_mean"},
        PEOPLE, {}, {},
    ),
    "late": (
        {"delay": "by_seller", "availability": "diurnal"}, PEOPLE,
        {"lr": 0.3, "staleness": 0.5, "delay_aversion": 1.0}, {},
    ),
    "adam": ({"server_optimizer": "adam", **UNIFORM}, PEOPLE, {"lr": 0.01}, {}),
    "private": ({"privacy": "update", **UNIFORM}, PEOPLE, {}, {}),
    "parts": ({"partial": True, **UNIFORM, "model": "mlp"}, {}, {}, {}),
    "secure": ({"secure_group": 2, **UNIFORM, "num_sampled": 4}, PEOPLE, {}, {}),
    "ascending": ({"auction": "ascending", **UNIFORM}, PEOPLE, {}, {}),
    "fixed sets": ({"set_schedule": "fixed", **UNIFORM}, PEOPLE, {}, {}),
    "units": ({"selling": "units", "num_units": 80, **UNIFORM}, PEOPLE, {"lr": 0.3}, {}),
    "independent sets": ({"set_schedule": "independent", "stop_rule": "miracle", **UNIFORM},
                         PEOPLE, {}, {}),
}  # fmt: skip
CONDUCT = {"aborted": (Bidding.UNREVEALED, 0, 0)}  # of the buyers
OTHER = {  # values that are not the usual step away
    "tau": 0.05,
    "tolerated_f": 1,
    "learning.max_norm": 1e-3,
    "learning.drop_out": 0.5,
    "learning.straggle": 0.9,
    "conduct.size_lie_bps": 100_000,
    "conduct.tolerated_openings": 0,
    "conduct.false_dispute": 1.0,
    "conduct.withheld_metric": 1.0,
    "conduct.false_metric": 0.0,
    "conduct.vigilance": 0.0,
    "cone.base": 9,
    "cone.size": 3,
    "cone.beta": 0.3,
    "cone.f_max": 0.1,
    "defence.exponent_cap": 0.01,
    "defence.drift_gap": 1.5,
    "defence.useless": 0.9,
    "defence.harmful": 0.9,
    "defence.reject": 0.6,
    "defence.duplicate_cosine": -0.5,
    "defence.free_ratio": 0.9,
    "defence.exclusion_log_odds": 0.5,
    "defence.drift_deviations": 0.0,
    "defence.trust_limit": 0.1,
    "defence.norm_growth": 3.0,
    "defence.start_deviations": 60.0,
    "money.buyer_funds": 750_000,
    "rules.min_sellers": 9,
    "rules.min_nodes": 17,
    "rules.refund_fee": 0,
    "rules.partial_payment": 1,
    "rules.min_reputation_bps": 9_999,
    "rules.reputation_floor_bps": 9_000,
    "rules.reward_cap": 10,
    "rules.seller_deposit": 90_000,
    "rules.node_stake": 15_000,
    "rules.auction_window": 3,
}
REFUSED = {  # they follow from the spec: the value, and the sentence
    "defence.horizon": (77.0, "defence.horizon follows from spec[.]"),
    "rules.num_rounds": (5, "rules.num_rounds follows from spec[.]"),
    "rules.by_stake": (1, "rules.by_stake follows from spec[.]sortition"),
    "rules.bisection": (1, "rules.bisection follows from spec[.]dispute"),
    "rules.sealed": (0, "rules.sealed follows from spec[.]"),
    "rules.second_price": (0, "rules.second_price follows from spec[.]"),
    "population.breadth": (2, "population.breadth = 2 must lie in"),
}
ELSEWHERE = {
    "privacy.delta",  # of the epsilon that is reported: tests/privacy
    "defence.readmission",  # of sellers that come back: tests/sampling, test_pinned.py
}
TIME = {  # of the ledger alone
    *("rules.timeout", "rules.challenge_window", "rules.withdrawal_delay"),
    "rules.content_window",  # contents are told at once
}


def hparams_of(world):
    _, people, learning, conduct = WORLDS[world]
    base = HParams()
    attack = {} if WORLDS[world][0].get("attack", "alie") == "alie" else {"scale": 8.0}
    majority = 0.0 if world == "harmed" else base.defence.majority  # so that harm is punished
    return base.replace(
        defence=base.defence._replace(majority=majority),
        population=Population(**people),
        learning=base.learning.replace(**learning),
        conduct=base.conduct.replace(**conduct),
        money=base.money.replace(**BUYERS, buyer_conduct=CONDUCT.get(world, ())),
        attack=attack,
        tau=0.4,
    )


def leaves_of(tree):
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def moved(name, value):
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, int):
        return value + 1 if value < 100 else int(value * (0.7 if "_bps" in name else 1.3))
    return 0.3 if value == 0 else value * 0.6


def with_leaf(tree, name, value):
    paths, shape = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]
    assert name in names
    return jax.tree.unflatten(
        shape, [value if name == other else leaf for other, (_, leaf) in zip(names, paths)]
    )


def differ(one, other):
    return any(
        not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other))
    )


@functools.cache
def program(spec):
    """The market of a spec and its run, compiled once."""
    digits = load("digits")
    market = make_market(spec, digits)
    data_spec = DataSpec(num_validation=100, unit_size=20)
    data = deal(digits, data_spec, spec.num_sellers, unit_slots=spec.unit_slots)
    run = jax.jit(lambda hparams: market.run(jax.random.key(1), hparams, data))
    return lambda hparams: jax.device_get(run(market.numbers(hparams))._replace(opening=()))


@pytest.mark.slow
def test_every_number_moves_an_outcome():
    left = set(leaves_of(hparams_of("plain"))) - set(REFUSED) - ELSEWHERE - TIME
    for world, (fields, *_) in WORLDS.items():
        outcome, base = program(Spec(**{**SMALL, **fields})), hparams_of(world)
        before = outcome(base)
        for name in sorted(left & set(leaves_of(base))):
            value = moved(name, leaves_of(base)[name])
            try:
                after = outcome(with_leaf(base, name, value))
            except ValueError:  # it means nothing in this world
                continue
            if differ(before, after):
                left.discard(name)
    assert not left, sorted(left)
    program.cache_clear()
    jax.clear_caches()


BISECTION = {  # number: two values, the first of which all begin with
    "watchers": (1.0, 0.0),
    "watching": (1.0, 0.0),
    "censorship": (0.2, 0.9),
    "sybils": (1.0, 3.0),
    "inexact": (0.0, 1.0),
    "steps": (4096.0, 100.0),
    "window": (50.0, 300.0),
    "budget": (40.0, 300.0),
    "judging": (60.0, 0.0),
}


@pytest.mark.slow
def test_every_number_of_a_dispute_by_bisection_moves_an_outcome():
    spec = Spec(**{**SMALL, **WORLDS["captured"][0], "dispute": "bisection"})
    assert set(BISECTION) == set(numbers(DISPUTES["bisection"]))
    outcome, usual = program(spec), {name: first for name, (first, _) in BISECTION.items()}
    before = outcome(hparams_of("captured").replace(dispute=usual))
    assert before.closing.disputed and before.closing.upheld
    for name, (_, value) in BISECTION.items():
        changed = hparams_of("captured").replace(dispute={**usual, name: value})
        assert differ(before, outcome(changed)), name
    program.cache_clear()
    jax.clear_caches()


@pytest.mark.parametrize("name", REFUSED)
def test_what_follows_from_the_spec_is_refused(name):
    market = make_market(Spec(**SMALL), load("digits"))
    value, sentence = REFUSED[name]
    with pytest.raises(ValueError, match=sentence):
        market.numbers(with_leaf(hparams_of("plain"), name, value))


CHANGES = {
    "name": None,  # another data set altogether: tests/data
    "partition": "iid",
    "alpha": 5.0,
    "num_validation": 150,
    "correction_share": 0.25,
    "min_samples": 140,
    "num_root": 20,
    "max_train": 900,
    "unit_size": 30,  # where units are sold
    "seed": 1,
    "classes_per_seller": 3,  # of shards, as the next two of theirs
    "gamma": 0.1,
    "sigma": 0.3,
    "job_classes": ((0, 1, 2), (3, 4, 5)),
}
PARTITION = {
    "classes_per_seller": "shards",
    "gamma": "gamma_similarity",
    "sigma": "lognormal_sizes",
}


def test_every_field_of_the_data_changes_who_holds_what():
    digits = load("digits")
    assert set(CHANGES) == {field.name for field in dataclasses.fields(DataSpec)}
    for name, value in CHANGES.items():
        if value is None:
            continue
        usual = DataSpec(partition=PARTITION.get(name, "dirichlet"))
        changed = dataclasses.replace(usual, **{name: value})
        slots = 80 if name == "unit_size" else 0
        who = np.ones((8, 2), bool)
        both = (deal(digits, spec, 8, unit_slots=slots, serves=who) for spec in (usual, changed))
        one, other = map(jax.tree.leaves, both)
        same = [a.shape == b.shape and np.array_equal(a, b) for a, b in zip(one, other)]
        assert not all(same), name
