"""What does privacy cost? Epsilon, accuracy and what leaks, over the noise of the sellers.

    python benchmarks/privacy.py --data=mnist --data_dir=DIR
    python benchmarks/privacy.py --interaction

One market per noise multiplier and seed; mean and standard deviation over seeds. Membership: losses
of the final model on sellers' images and on the test set, calibrated by a model trained by other
sellers' images of the same kind. Inversion: correlation of an image with its reconstruction from a
single-image gradient of the untrained model, clipped and noised like a seller's batch of one. With
`--interaction` instead: accuracy with and without attackers that flip signs, by defence. Minutes on
two cores.
"""

import pathlib
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import numpy as np
from absl import app, flags

from d2m_jax import HParams, Spec, as_arrays, make_market, validate
from d2m_jax.cli.sentences import one_sentence
from d2m_jax.config.hparams import Learning, Privacy
from d2m_jax.config.parsing import Config
from d2m_jax.config.population import Population
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.types import Batch
from d2m_jax.data import Dataset, FederatedData, load, num_examples
from d2m_jax.market import Market, deal
from d2m_jax.privacy import dp, probes
from d2m_jax.report.results import seller_epsilons

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "digits", "data set")
flags.DEFINE_string("data_dir", None, "folder of the official archives")
flags.DEFINE_string("model", "mlp", "network")
flags.DEFINE_list("noise", ["0", "0.25", "0.5", "1", "2", "4"], "noise multipliers")
flags.DEFINE_float("clip", 4.0, "bound on one example's gradient", 1e-6)
flags.DEFINE_float("lr", 0.5, "server's rate", 1e-6)
flags.DEFINE_integer("rounds", 100, "rounds", lower_bound=10)
flags.DEFINE_integer("train", 1200, "images of the sellers and the buyer", lower_bound=400)
flags.DEFINE_integer("inversions", 8, "images to reconstruct", lower_bound=1)
flags.DEFINE_integer("seeds", 3, "markets per noise multiplier", lower_bound=1)
flags.DEFINE_bool("interaction", False, "noise against attackers and defences")
SELLERS, SAMPLED, BATCH, ATTACKERS = 20, 10, 32, 6
DEFENCES = {
    "FedAvg": {"sampler": "uniform"},
    "median": {"sampler": "uniform", "aggregator": "median"},
    "Corrected OSMD": {},
}


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    with one_sentence():
        spec = spec_of("example")
        for noise in FLAGS.noise:
            validate(spec, numbers(float(noise)), dealt(0))
        dataset = load(FLAGS.data, FLAGS.data_dir)
    shown = "0 and 6 of 20 flip signs" if FLAGS.interaction else "epsilon per example of a seller"
    print(
        f"{FLAGS.data}, {FLAGS.model}, {FLAGS.train} images, {FLAGS.rounds} rounds, clip "
        f"{FLAGS.clip:g}, lr {FLAGS.lr:g}, delta 1e-5, {FLAGS.seeds} seeds; {shown}"
    )
    (interaction if FLAGS.interaction else leakage)(dataset)


def dealt(seed: int) -> DataSpec:
    return DataSpec(name=FLAGS.data, max_train=FLAGS.train, seed=seed)


def worlds(dataset: Dataset, seeds) -> list[FederatedData]:
    """One partition per seed."""
    return [deal(dataset, dealt(seed), SELLERS) for seed in seeds]


def spec_of(privacy: str, **changes) -> Spec:
    return Spec(
        model=FLAGS.model, num_sellers=SELLERS, num_sampled=SAMPLED, num_rounds=FLAGS.rounds,
        eval_every=FLAGS.rounds, batch_size=BATCH, num_nodes=16, privacy=privacy, **changes,
    )  # fmt: skip


def program(dataset: Dataset, privacy: str, **changes) -> tuple[Spec, Market, Callable]:
    spec = spec_of(privacy, **changes)
    market = make_market(spec, dataset)
    return spec, market, jax.jit(market.run)


def numbers(noise: float, **changes) -> HParams:
    return HParams(
        tau=0.5, learning=Learning(lr=FLAGS.lr), privacy=Privacy(clip=FLAGS.clip, noise=noise),
        **changes,
    )  # fmt: skip


def first(batch: Batch, count: int, start: int = 0) -> Batch:
    """So many examples of a batch."""
    return jax.tree.map(lambda leaf: leaf[start : start + count], batch)


def spread(values, form: str) -> str:
    """Mean and standard deviation over seeds."""
    values = np.asarray(values, np.float64)
    mean = format(values.mean(), form)
    return mean if len(values) < 2 else f"{mean} ± {format(values.std(ddof=1), form)}"


def interaction(dataset: Dataset) -> None:
    seeds = range(FLAGS.seeds)
    data = worlds(dataset, seeds)
    heads = [f"{name}, {count} attackers" for name in DEFENCES for count in (0, ATTACKERS)]
    print("| noise | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    attack = {"attack": "sign_flip"}
    programs = {
        (unit, name): program(dataset, unit, **attack, **defence)[2]
        for unit in ("none", "example")
        for name, defence in DEFENCES.items()
    }
    for text in ["none", *FLAGS.noise]:
        unit, noise = ("none", 0.0) if text == "none" else ("example", float(text))
        cells = []
        for name in DEFENCES:
            for count in (0, ATTACKERS):
                hparams = as_arrays(
                    numbers(
                        noise,
                        attack={"scale": 3.0},
                        population=Population(num_byzantine=count),
                    )
                )
                run = programs[unit, name]
                found = [run(jax.random.key(s), hparams, data[s]).test_metric for s in seeds]
                cells.append(spread(found, ".1%"))
        print(f"| {text} | " + " | ".join(cells) + " |", flush=True)


def leakage(dataset: Dataset) -> None:
    seeds = range(FLAGS.seeds)
    mixed = worlds(dataset, [*seeds, *(100 + seed for seed in seeds)])  # the second for references
    own_data, other_data = mixed[: FLAGS.seeds], mixed[FLAGS.seeds :]
    plain, private = program(dataset, "none"), program(dataset, "example")
    model = plain[1].model
    references = [
        plain[2](jax.random.key(100 + seed), as_arrays(numbers(0.0)), other_data[seed]).theta
        for seed in seeds
    ]

    @jax.jit
    def losses(theta, examples, stats):
        return model.losses(theta, model.prepare(examples, stats))

    @jax.jit
    def inverted(key, batch, noise, clip):
        theta = model.init(jax.random.key(0))
        update = dp.private_update(key, model.gradient(theta, batch), clip, noise)
        image, label = batch["inputs"][0], batch["labels"][0]
        found = probes.invert_gradient(
            key, model.gradient, theta, update, label, image.shape, steps=200
        )
        return probes.correlation(found.example, image)

    print(
        "| noise | epsilon of the last seed, median (largest) | test accuracy | honest flagged "
        "| membership advantage | AUC | calibrated advantage | inversion, correlation |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for text in ["none", *FLAGS.noise]:
        spec, _, run = plain if text == "none" else private
        noise = 0.0 if text == "none" else float(text)
        clip = 1e9 if text == "none" else FLAGS.clip
        hparams, rows, epsilon = numbers(noise), [], "infinite"
        for seed, data in zip(seeds, own_data):
            outcome = run(jax.random.key(seed), as_arrays(hparams), data)
            count = min(num_examples(data.pool), num_examples(data.test))
            sides = [first(side, count) for side in (data.pool, data.test)]
            own = [losses(outcome.theta, side, data.stats) for side in sides]
            cold = [losses(references[seed], side, data.stats) for side in sides]
            bare, calibrated = probes.membership(*own), probes.membership(*own, *cold)
            if noise > 0:
                config = Config(dealt(seed), spec, hparams, seed)
                found = seller_epsilons(config, outcome, data.sizes)["epsilon_ex_post"]
                epsilon = f"{np.median(found):.1f} ({found.max():.1f})"
            keys = [
                jax.random.fold_in(jax.random.key(2 + seed), i) for i in range(FLAGS.inversions)
            ]
            images = [
                model.prepare(first(data.pool, 1, start=i), data.stats) for i in range(len(keys))
            ]
            likeness = [inverted(key, image, noise, clip) for key, image in zip(keys, images)]
            flagged = np.asarray(outcome.rounds.flagged).mean()
            rows.append(
                (
                    float(outcome.test_metric), flagged, bare.advantage, bare.auc,
                    calibrated.advantage, np.mean([float(x) for x in likeness]),
                )
            )  # fmt: skip
        forms = (".1%", ".0%", ".3f", ".3f", ".3f", ".2f")
        cells = [spread(column, form) for column, form in zip(zip(*rows), forms)]
        print(f"| {text} | {epsilon} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    app.run(main)
