"""The declared experiments: what is run, and what must hold. Read first: `cases.py`, `bands.py`.

`GRIDS` has the experiments of `d2m reproduce --quick` and `--full`. The paper's figures (D2M, arXiv
2512.10372): up to 99 % on MNIST, 90 % on Fashion-MNIST, 56 % on CIFAR-10, less than 3 points lost
with up to 30 % Byzantine nodes; it states neither networks nor rounds, so these are ours.
"""

from collections.abc import Iterable

from d2m_jax.aggregation import AGGREGATORS
from d2m_jax.attacks import ATTACKS
from d2m_jax.reproduce.bands import NOBODY, Band, accuracy, ahead, loss, none_sold, none_wrong
from d2m_jax.reproduce.cases import (
    DEALS,
    Case,
    Experiment,
    assaults,
    bad_parties,
    cross,
    market,
)
from d2m_jax.sweep.space import Point

SEEDS = (0, 1, 2)
SHARES = (0.3, 0.4)  # of the sellers, and of the nodes
REFUSED = ["nan", "inf", "huge"]  # before any rule sees them
SEARCHED = ["opt_alie", "opt_ipm", "agr_tailored", "whitebox"]  # they try the defence many times
ZOO = [
    name
    for name, attack in ATTACKS.items()
    if name not in ["none", "alie_paper", *REFUSED, *SEARCHED] and attack.trigger is None
]
# Under these Corrected OSMD lost most: on digits (docs/results/digits.md) and in docs/zoo.md.
WORST = ["duel", "overfit", "pawns", "opportunist", "min_max", "min_sum", "norm_inflation"]

# What a CNN market learns with: 20 batches of 16 a round, momentum at the server, a rate that falls
# linearly to nothing. No augmentation.
SCHEDULE = {"lr_final": 0.01, "momentum": 0.9}


def robust(name: str, about: str, base: Point, attacks: list[str], **rest: object) -> Experiment:
    """Accuracy without bad parties, and under every attack, iid and not."""
    cases = cross(DEALS, assaults(attacks, SHARES))
    return Experiment(name, about, base, cases, SEEDS, **rest)  # type: ignore[arg-type]


def bands(name: str, least: float, most_lost: float) -> tuple[Band, ...]:
    """Accuracy without bad parties, the loss at 30 %, and no wrong result accepted there."""
    return (
        accuracy(f"{name} without bad parties", least, bad=NOBODY),
        loss(name, most_lost, "30%"),
        none_wrong(f"{name} with 30% bad nodes", bad="30%"),
    )


def images(name: str, tau: float, model: str, rounds: int, lr: float) -> Point:
    """The base of a market on one of the real sets of images."""
    spec = {"model": model, "num_rounds": rounds, "eval_every": rounds // 4, "batch_size": 16}
    return market(name, tau, spec=spec, learning={"lr": lr, **SCHEDULE})


PARTS: list[Case] = [
    Case({"part": "Corrected OSMD, CONE, revote"}, {}),
    Case({"part": "without correction: OSMD"}, {"spec.sampler": "osmd"}),
    Case(
        {"part": "without OSMD: uniform, mean"},
        {"spec.sampler": "uniform", "spec.aggregator": "mean"},
    ),
    Case({"part": "without validation data"}, {"data.correction_share": 0.0}),
    Case(
        {"part": "without CONE: one node decides"},
        {
            "spec.set_schedule": "fixed",
            "spec.stop_rule": "majority_last",
            "hparams.cone.size": 1,
        },
    ),
    Case({"part": "bisection for revote"}, {"spec.dispute": "bisection"}),
]


def rules(names: Iterable[str]) -> list[Case]:
    """Aggregation rules in the place of Corrected OSMD, under uniform sampling."""
    where = {"spec.sampler": "uniform"}
    return [
        Case({"part": f"rule: {name}".replace("_", " ")}, {**where, "spec.aggregator": name})
        for name in names
    ]


def is_plain(name: str) -> bool:
    """Whether a rule looks at the updates of the round alone; such rules share one program."""
    rule = AGGREGATORS[name]
    return not getattr(rule, "uses", ()) and not getattr(rule, "by_seller", False)


SUBSETS = ["smea"]  # they try every subset of the rows: too many of 20
RULES = [name for name in AGGREGATORS if name not in ["mean", *SUBSETS]]
PLAIN_RULES = [name for name in RULES if is_plain(name)]
CAPTURED: list[Case] = [
    Case({"part": f"{dispute}, 60% of the nodes bad"}, {"spec.dispute": dispute})
    for dispute in ("revote", "bisection")
]


def ablation(
    name: str, about: str, base: Point, names: list[str], attacks: list[str], **rest: object
) -> Experiment:
    """Every part left out or another put in its place, at 30 % bad sellers and nodes."""
    captured = {**bad_parties(0.3), "hparams.population.num_colluding": 38}
    lost = Case({"bad": "30%", "attack": "sign_flip"}, {"spec.attack": "sign_flip", **captured})
    parts = cross([*PARTS, *rules(names)], assaults(attacks, [0.3]))
    pay = Case({}, {"spec.contribution": "count"})  # which needs no validation gain
    cases = cross([*parts, *cross(CAPTURED, [lost])], [pay])
    return Experiment(name, about, base, cases, SEEDS, **rest)  # type: ignore[arg-type]


def parts_bands(correction: float, cone: float) -> tuple[Band, ...]:
    """By how many points the worst case falls without a part, and who is sold a wrong model."""
    first, bad = PARTS[0].labels["part"], {"bad": "30%"}
    lost = {"correction": (PARTS[1], correction), "CONE": (PARTS[4], cone)}
    falls = [
        ahead(f"with {what} before without", least, {"part": first, **bad}, {**case.labels, **bad})
        for what, (case, least) in lost.items()
    ]
    saved = CAPTURED[1].labels["part"]
    return (*falls, none_wrong("the whole market", part=first), none_sold(saved, part=saved))


DIGITS = market(
    "digits",
    0.8,
    data={"num_validation": 200, "num_root": 50},
    spec={"model": "mlp", "num_rounds": 60, "eval_every": 30, "batch_size": 16},
    learning={"lr": 0.3},
)
SUBSET = market(
    "mnist",
    0.8,
    data={"max_train": 12_000, "num_root": 100},
    spec={"model": "mlp", "num_rounds": 100, "eval_every": 50, "batch_size": 32},
    learning={"lr": 0.3, "lr_final": 0.1},
)

QUICK = [
    robust(
        "digits",
        "The built-in digits under every attack of the zoo that does not search.",
        DIGITS,
        ZOO,
        bands=bands("digits", 94, 5),
        minutes=4,
        needs_data=False,
    ),
    robust(
        "mnist_subset",
        "A fifth of MNIST, with an MLP.",
        SUBSET,
        WORST,
        bands=bands("MNIST subset", 90, 3),
        minutes=4,
    ),
    ablation(
        "ablation_digits",
        "Every part of the market left out or replaced, on digits.",
        DIGITS,
        PLAIN_RULES,
        ["sign_flip", "min_max", "norm_inflation"],
        bands=parts_bands(10, 10),
        minutes=4,
        needs_data=False,
    ),
]
FULL = [
    robust(
        "digits_searched",
        "The built-in digits under attacks that try the defence before they choose.",
        DIGITS,
        SEARCHED,
        bands=bands("digits", 94, 5),
        minutes=8,
        needs_data=False,
    ),
    robust(
        "mnist",
        "MNIST with a CNN; the paper reports up to 99 %.",
        images("mnist", 0.97, "mnist_cnn", 600, 0.1),
        WORST,
        bands=bands("MNIST", 99, 1),
        minutes=400,
    ),
    robust(
        "fashion_mnist",
        "Fashion-MNIST with a CNN; the paper reports up to 90 %.",
        images("fashion_mnist", 0.85, "mnist_cnn", 1200, 0.1),
        WORST,
        bands=bands("Fashion-MNIST", 90, 3),
        minutes=400,
    ),
    robust(
        "cifar10",
        "CIFAR-10 with a CNN; the paper reports 56 %.",
        images("cifar10", 0.55, "cifar_cnn", 1200, 0.05),
        WORST,
        bands=bands("CIFAR-10", 65, 3),
        minutes=600,
    ),
    ablation(
        "ablation_mnist",
        "Every part of the market left out or replaced, on a fifth of MNIST.",
        SUBSET,
        RULES,
        ["sign_flip", "min_max", "norm_inflation"],
        bands=parts_bands(10, 10),
        minutes=30,
    ),
]
GRIDS = {"quick": QUICK, "full": FULL}
