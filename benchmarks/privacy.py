"""What does privacy cost? Epsilon, accuracy and what leaks, over the noise of the sellers.

    python benchmarks/privacy.py --data=mnist --data_dir=DIR

One market per noise multiplier, the same seed. Membership: losses of the final model on sellers'
images and on the test set, calibrated by a model trained by other sellers' images of the same kind.
Inversion: correlation of an image with its reconstruction from a single-image gradient of the
untrained model, clipped and noised like a seller's batch of one. A few minutes on two cores.
"""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from d2m_jax import HParams, Spec, as_arrays, make_market
from d2m_jax.config import Config
from d2m_jax.data import load, normalize
from d2m_jax.hparams import Learning, Privacy
from d2m_jax.models.base import cross_entropies
from d2m_jax.privacy import dp, probes
from d2m_jax.report.results import seller_epsilons
from d2m_jax.spec import DataSpec
from d2m_jax.world import deal

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
SELLERS, SAMPLED, BATCH = 20, 10, 32


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    raw = load(FLAGS.data, FLAGS.data_dir)
    dealt = DataSpec(name=FLAGS.data, max_train=FLAGS.train)
    data = deal(raw, dealt, SELLERS)
    other = deal(raw, dataclasses.replace(dealt, seed=1), SELLERS)  # for the reference model
    width = max(data.index.shape[1], other.index.shape[1])

    def padded(world):
        pad = width - world.index.shape[1]
        return dataclasses.replace(world, index=jnp.pad(world.index, ((0, 0), (0, pad))))

    data, other = padded(data), padded(other)
    base = Spec(
        model=FLAGS.model, num_sellers=SELLERS, num_sampled=SAMPLED, num_rounds=FLAGS.rounds,
        eval_every=FLAGS.rounds, batch_size=BATCH, num_nodes=16,
    )  # fmt: skip

    def programs(privacy: str):
        spec = dataclasses.replace(base, privacy=privacy)
        market = make_market(spec, raw.train_images.shape[1:], len(raw.class_names))
        return spec, market, jax.jit(market.run)

    def numbers(noise: float) -> HParams:
        return HParams(
            tau=0.5, learning=Learning(lr=FLAGS.lr), privacy=Privacy(clip=FLAGS.clip, noise=noise)
        )

    plain, private = programs("none"), programs("example")
    model = plain[1].model
    reference = plain[2](jax.random.key(1), as_arrays(numbers(0.0)), other).theta

    @jax.jit
    def losses(theta, images, labels):
        return cross_entropies(model.apply(theta, normalize(data, images)), labels)

    count = min(len(data.labels), len(data.test.labels))
    sides = (data.images[:count], data.labels[:count]), (
        data.test.images[:count], data.test.labels[:count],
    )  # fmt: skip

    @jax.jit
    def inverted(key, image, label, noise, clip):
        theta = model.init(jax.random.key(0))
        update = model.gradient(theta, image[None], label[None])
        update = dp.private_update(key, update, clip, noise)
        found = probes.invert_gradient(
            key, model.gradient, theta, update, label, raw.train_images.shape[1:], steps=200
        )
        return probes.correlation(found.image, image)

    print(
        f"{FLAGS.data}, {FLAGS.model}, {FLAGS.train} images, {FLAGS.rounds} rounds, clip "
        f"{FLAGS.clip:g}, lr {FLAGS.lr:g}, delta 1e-5; epsilon per example of a seller"
    )
    print(
        "| noise | epsilon, median (largest) | test accuracy | honest flagged | membership "
        "advantage | AUC | calibrated advantage | inversion, correlation |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for text in ["none", *FLAGS.noise]:
        spec, _, run = plain if text == "none" else private
        noise = 0.0 if text == "none" else float(text)
        hparams = numbers(noise)
        outcome = run(jax.random.key(0), as_arrays(hparams), data)
        own = [losses(outcome.theta, *side) for side in sides]
        cold = [losses(reference, *side) for side in sides]
        bare, calibrated = probes.membership(*own), probes.membership(*own, *cold)
        if text == "none" or noise == 0:
            epsilon = "infinite"
        else:
            found = seller_epsilons(Config(dealt, spec, hparams, 0), outcome, data.sizes)
            epsilon = f"{np.median(found):.1f} ({found.max():.1f})"
        clip = 1e9 if text == "none" else FLAGS.clip
        likeness = [
            float(
                inverted(
                    jax.random.fold_in(jax.random.key(2), i),
                    normalize(data, data.images[i]), data.labels[i], noise, clip,
                )
            )
            for i in range(FLAGS.inversions)
        ]  # fmt: skip
        flagged = np.asarray(outcome.rounds.flagged).mean()
        print(
            f"| {text} | {epsilon} | {float(outcome.test_accuracy):.1%} | {flagged:.0%} | "
            f"{float(bare.advantage):.3f} | {float(bare.auc):.3f} | "
            f"{float(calibrated.advantage):.3f} | {np.mean(likeness):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
