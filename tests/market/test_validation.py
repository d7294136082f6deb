"""Bad input gets one clear sentence, before anything compiles."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import pytest

from d2m_jax import default_config, parse_config, validate
from d2m_jax.core.files import make_folder

ROOT = pathlib.Path(__file__).resolve().parents[2]

BAD = {
    "unknown model": ({"spec.model": "resnet"}, "unknown model 'resnet'.*mlp"),
    "near miss": ({"spec.attack": "sign_flp"}, "did you mean 'sign_flip'"),
    "unknown sampler": ({"spec.sampler": "best"}, "unknown sampler.*corrected_osmd, .*uniform"),
    "unknown aggregator": ({"spec.aggregator": "avg"}, "unknown aggregator 'avg'.*median"),
    "unknown stop rule": ({"spec.stop_rule": "x"}, "unknown stop rule.*lead"),
    "unknown contribution": ({"spec.contribution": "x"}, "unknown contribution.*gain"),
    "two aggregates": ({"spec.aggregator": "median"}, "brings its own aggregate"),
    "more Byzantine than sellers": (
        {"hparams.population.num_byzantine": 21},
        "21 is more than the",
    ),
    "more liars than nodes": (
        {"hparams.population.num_silent": 65},
        "65.* more than the num_nodes",
    ),
    "negative count": ({"hparams.population.num_byzantine": -1}, "must not be negative"),
    "k > n": ({"spec.num_sampled": 21}, "num_sampled = 21 .* num_sellers = 20"),
    "batch": ({"spec.batch_size": 10**9}, "batch_size must be at most 65,536"),
    "too many sellers": ({"spec.num_sellers": 10**9}, "num_sellers must be at most 1,048,576"),
    "too many nodes": ({"spec.num_nodes": 10**9}, "num_nodes must be at most 1,048,576"),
    "negative funds": ({"hparams.money.buyer_funds": -1}, "buyer_funds must not be negative"),
    "options": ({"spec.attack_options": (3,)}, "attack_options must be pairs .* not \\(3,\\)"),
    "no round": ({"spec.num_rounds": 0}, "num_rounds must be at least 1"),
    "uneven evaluation": ({"spec.eval_every": 7}, "eval_every = 7 must divide num_rounds = 100"),
    "tau above one": ({"hparams.tau": 1.2}, r"tau must lie in .*, not 1.2"),
    "tau zero": ({"hparams.tau": 0.0}, "tau must lie"),
    "deposit": (
        {"hparams.money.seller_stake": 10},
        "seller_stake = 10 is below the smallest deposit",
    ),
    "negative deposit": ({"hparams.rules.seller_deposit": -1}, "rule seller_deposit must lie in"),
    "negative noise": ({"hparams.privacy.noise": -1.0}, "privacy.noise must lie in"),
    "stake": ({"hparams.money.node_stake": 10}, "node_stake = 10 is below the smallest stake"),
    "poor seller": ({"hparams.money.seller_funds": 10}, "more than money.seller_funds = 10"),
    "supply": ({"hparams.money.node_funds": 2**30}, "money supply is .* below 2\\*\\*31"),
    "buyers": ({"spec.num_buyers": 3}, "4 entries for num_buyers = 3"),
    "rule": ({"hparams.rules.fee_bps": 20_000}, "fee_bps must lie in"),
    "split": ({"hparams.rules.seller_bps": 9_900}, "together must not exceed"),
    "probability": (
        {"hparams.conduct.vigilance": 2.0},
        "vigilance must lie in .*not 2.0",
    ),
    "momentum": (
        {"hparams.learning.momentum": 1.0},
        "momentum must lie in .*0.9999",
    ),
    "rate": ({"hparams.learning.lr": float("nan")}, "learning.lr must be a finite"),
    "alpha": ({"hparams.defence.alpha": 0.0}, "defence.alpha must lie"),
    "too large": ({"hparams.defence.eta": 1e39}, "defence.eta must be a finite number"),
    "32 bits": ({"hparams.tolerated_f": -(10**11)}, "tolerated_f must fit into 32 bits"),
    "trust": ({"hparams.defence.trust_memory": 1.5}, "trust_memory must lie in"),
    "f_max": ({"hparams.cone.f_max": 0.5}, "f_max"),
    "lost in time": ({"hparams.rules.timeout": 2**31 - 1}, "withdrawal_delay|2\\*\\*31"),
    "NaN": ({"hparams.defence.clip": float("nan")}, "defence.clip must be a finite number"),
    "spoil": ({"hparams.conduct.spoil": float("inf")}, "conduct.spoil must be a finite"),
    "no size": ({"hparams.conduct.size_lie_bps": 0}, "size_lie_bps must lie in"),
    "negative value": ({"hparams.money.buyer_values": (-5, 1, 1, 1)}, "-5, which is no amount"),
    "no conduct": (
        {"hparams.money.buyer_conduct": (0, 0, 0, 9)},
        "buyer_conduct holds 9; there are: 0 truth",
    ),
    "too few codes": ({"hparams.money.buyer_conduct": (1,)}, "has 1 entries for num_buyers = 4"),
    "ask": ({"hparams.money.seller_ask": -1}, "seller_ask must not be negative"),
    "max tau": ({"hparams.money.seller_max_tau_bps": 10_001}, "seller_max_tau_bps must lie in"),
    "format": ({"hparams.rules.sealed": 0}, "rules.sealed follows from spec.auction = sealed"),
    "ignored": ({"spec.pre_aggregators": ("nnm",)}, "with aggregator 'own' they do nothing"),
    "tiny tau": ({"hparams.tau": 1e-6}, "tau must lie"),
    "beta": ({"hparams.cone.beta": 0.7}, "beta"),
    "base": ({"hparams.cone.base": 0}, "base"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_sentence(name):
    changes, sentence = BAD[name]
    config = default_config()
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        node = config
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    with pytest.raises(ValueError, match=sentence) as caught:
        parsed = parse_config(config)  # refuses names of parts that have numbers
        validate(parsed.spec, parsed.hparams)
    assert "\n" not in str(caught.value)


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match=r"unknown field spec.modle; valid fields: aggregator"):
        default_config(spec={"modle": "mlp"})
    with pytest.raises(ValueError, match=r"unknown field hparams.learning.rate"):
        default_config(hparams={"learning": {"rate": 1.0}})


def test_a_configuration_survives_the_round_trip():
    config = default_config(
        spec={"attack": "alie"},
        hparams={"attack": {"alie": {"z": 0.5}}, "learning": {"lr": 0.25}},
        seed=7,
    )
    parsed = parse_config(config)
    assert parsed.hparams.attack == {"z": 0.5, "sign": 1.0}
    assert parsed.hparams.learning.lr == 0.25 and parsed.seed == 7
    assert dataclasses.asdict(parsed.spec)["attack"] == "alie"
    validate(parsed.spec, parsed.hparams)


def test_unwritable_results_folder(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=r"results folder .* cannot be written"):
        make_folder(file / "results")


def test_an_auction_that_ends_too_early_is_pointed_out():
    steps = {"spec": {"auction": "ascending"}}
    calm = parse_config(default_config(**steps))
    hasty = parse_config(default_config(**steps, hparams={"rules": {"min_increment_bps": 0}}))
    assert not validate(*parse_config(default_config())[1:3])
    assert not validate(calm.spec, calm.hparams)
    (note,) = validate(hasty.spec, hasty.hparams)
    assert "auction ends before the buyers' limits" in note


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--config.spec.num_sampled=50"], "error: num_sampled = 50 sellers cannot be drawn"),
        (["--config=configs/mnist.py", "--data_dir={tmp}"], "error: .*mnist.*train-images"),
        (["--config.data.name=imagenet"], "error: unknown data set 'imagenet'"),
        (["--config.spec.nonsense=1"], "error: the configuration has no field .*nonsense"),
        (["--seed=99999999999999999999"], "seed"),
        (["--config.seed=-4"], "error: seed must lie in"),
        (["--config=configs/nope.py"], "error: .*nope"),
        (["--config=README.md"], "error: the configuration cannot be read as Python"),
        (["--config=configs/__init__.py"], "error: .* no function get_config"),
        (["--data_dir=" + 5_000 * "a", "--config=configs/mnist.py"], "error: .*name too long"),
        (
            [
                "--config.spec.sampler=uniform",
                "--config.spec.aggregator=smea",
                "--config.spec.num_sampled=15",
            ],
            "error: .*smea|error: .*subsets",
        ),
    ],
)
def test_the_script_says_it_too(flags, sentence, tmp_path):
    out = subprocess.run(
        [
            sys.executable,
            "scripts/run_market.py",
            f"--out={tmp_path / 'out'}",
            *(flag.format(tmp=tmp_path) for flag in flags),
        ],
        cwd=ROOT,
        env={**os.environ, "D2M_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert out.returncode != 0
    assert "Traceback" not in out.stderr
    assert re.search(sentence, out.stderr), out.stderr[-500:]
