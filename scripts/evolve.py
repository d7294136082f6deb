"""Where does the market end? Strategies that earn more spread, epoch after epoch.

    python scripts/evolve.py --config=configs/evolve.py --out=results/evolve

A grid of starts (shares of honest sellers and of honest nodes), each a market run again and again
with the same ledger: balances, stakes and bans carry over, who was slashed stakes anew while it has
money, buyers bring fresh money. Between epochs parties revise their strategies by replicator or
logit dynamics. Writes a table and phase plots.
"""

import dataclasses
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pandas as pd
from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d2m_jax import as_arrays, make_market, parse_config, validate
from d2m_jax.audit import deviations
from d2m_jax.audit.strategies import EFFORT, repertoire, seller_strategies
from d2m_jax.cone import Behaviour
from d2m_jax.config.hparams import HParams
from d2m_jax.config.population import Population
from d2m_jax.core.choices import lookup
from d2m_jax.incentives import dynamics
from d2m_jax.market.world import load_world

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CONFIG = config_flags.DEFINE_config_file("config", "configs/evolve.py", "the market of an epoch")
FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "folder of the official data archives")
flags.DEFINE_string("out", "results/evolve", "folder of the table and the plots")
flags.DEFINE_enum("dynamics", "replicator", list(dynamics.DYNAMICS), "how strategies spread")
flags.DEFINE_list("sellers", ["free_rider_replay", "sign_flip"], "seller strategies beside honesty")
flags.DEFINE_list("nodes", ["collude", "silent"], "node strategies beside honesty")
flags.DEFINE_list("starts", ["0.1", "0.3", "0.5", "0.7", "0.9"], "shares of honest parties")
flags.DEFINE_integer("epochs", 15, "markets one after another", lower_bound=1)
flags.DEFINE_float("seller_rate", 3e-5, "1/units: how strongly income counts", 0.0)
flags.DEFINE_float("node_rate", 3e-4, "1/units", 0.0)
flags.DEFINE_float("inertia", 0.5, "probability that a party does not revise", 0.0, 1.0)
flags.DEFINE_float("mutation", 0.02, "probability that a revision is at random", 0.0, 1.0)
flags.DEFINE_float("training_cost", 100.0, "units per round of honest training", 0.0)
flags.DEFINE_float("outside_gain", 0.0, "units that an accepted wrong result is worth to each", 0.0)
flags.DEFINE_integer("seed", 0, "of the run", lower_bound=0)


def is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


flags.register_validator(
    "starts", lambda texts: texts and all(map(is_share, texts)), "must be shares between 0 and 1"
)


def prepare_epoch(ledger, market, hparams):
    """Fresh money for the buyers; parties in good standing stake anew what was slashed."""
    layout, money = market.layout, hparams.money
    accounts = jnp.arange(ledger.balances.shape[0])
    wanted = jnp.where(accounts < layout.nodes.start, money.seller_stake, money.node_stake)
    stakes_again = ledger.registered & ~ledger.banned & (accounts >= layout.num_buyers)
    missing = jnp.where(stakes_again, jnp.maximum(wanted - ledger.stakes, 0), 0)
    missing = jnp.minimum(missing, ledger.balances)
    balances = jnp.where(accounts < layout.num_buyers, money.buyer_funds, ledger.balances - missing)
    return dataclasses.replace(
        ledger, balances=balances.astype(jnp.int32), stakes=ledger.stakes + missing
    )


def make_epoch(market, names, node_codes, data):
    """(carry, key, hparams) -> (carry, record): one market and one revision."""
    spread = lookup(dynamics.DYNAMICS, FLAGS.dynamics, "dynamics")
    effort = jnp.asarray([EFFORT.get(name, 1.0) for name in names])
    behaviours = jnp.asarray(node_codes, jnp.int32)
    layout = market.layout

    def epoch(carry, key, hparams):
        ledger, sellers, nodes, seller_means, node_means = carry
        run_key, seller_key, node_key = jax.random.split(key, 3)
        ledger = prepare_epoch(ledger, market, hparams)
        outcome = market.run(
            run_key, deviations.play(hparams, sellers, behaviours[nodes]), data, ledger
        )
        paid = deviations.payoffs(outcome, layout)
        income = paid.sellers - FLAGS.training_cost * effort[sellers] * paid.rounds
        wrong = (outcome.rounds.accepted_digest > 0).any()
        earned = paid.nodes + FLAGS.outside_gain * (wrong & (nodes != 0))
        lives = ~outcome.ledger.banned & (
            outcome.ledger.stakes + outcome.ledger.balances >= hparams.rules["node_stake"]
        )
        seller_lives, node_lives = lives[layout.sellers], lives[layout.nodes]
        seller_means = dynamics.payoffs_per_head(sellers, income, seller_lives, seller_means, 0.5)
        node_means = dynamics.payoffs_per_head(nodes, earned, node_lives, node_means, 0.5)

        def moved(key, codes, means, alive, rate):
            shares = dynamics.shares_of(codes, alive, means.shape[0])
            return dynamics.revise(
                key, codes, spread(shares, means, rate), alive,
                inertia=FLAGS.inertia, mutation=FLAGS.mutation,
            )  # fmt: skip

        record = {
            "seller_shares": dynamics.shares_of(sellers, seller_lives, len(names)),
            "node_shares": dynamics.shares_of(nodes, node_lives, len(node_codes)),
            "sellers_left": seller_lives.sum(),
            "nodes_left": node_lives.sum(),
            "settled": paid.settled,
            "delivered": paid.settled & (outcome.closing.metric >= hparams.tau),
            "accuracy": paid.accuracy,
        }
        carry = (
            outcome.ledger,
            moved(seller_key, sellers, seller_means, seller_lives, FLAGS.seller_rate),
            moved(node_key, nodes, node_means, node_lives, FLAGS.node_rate),
            seller_means,
            node_means,
        )
        return carry, record

    return epoch


def first_codes(key, count, honest, num):
    """[count] codes: the honest share exactly, the others spread evenly over the rest."""
    order = jax.random.permutation(key, count)
    is_honest = order < jnp.round(honest * count)
    return jnp.where(is_honest, 0, 1 + order % max(num - 1, 1)).astype(jnp.int32)


def evolve(config) -> tuple[dict[str, np.ndarray], list[tuple[float, float]], list[str], list[str]]:
    spec = config.spec
    strategies = seller_strategies(tuple(FLAGS.sellers))
    names, node_names = list(strategies), ["honest", *FLAGS.nodes]
    known = {kind.name.lower(): int(kind) for kind in Behaviour}
    node_codes = [lookup(known, name, "node strategy") for name in node_names]
    raw, data = load_world(config.data, spec.num_sellers, FLAGS.data_dir)
    market = make_market(
        spec, raw.train_images.shape[1:], len(raw.class_names),
        attack=repertoire(strategies),
    )  # fmt: skip
    hparams = as_arrays(
        HParams(**{**vars(config.hparams), "population": Population(), "tolerated_f": 1,
                   "attack": {"strategy": 0.0}})
    )  # fmt: skip
    values = [float(x) for x in FLAGS.starts]
    starts = [(a, b) for a in values for b in values]
    keys = jax.random.split(jax.random.key(FLAGS.seed), len(starts))

    def begin(key, start):
        seller_key, node_key, key = jax.random.split(key, 3)
        sellers = first_codes(seller_key, spec.num_sellers, start[0], len(names))
        nodes = first_codes(node_key, spec.num_nodes, start[1], len(node_codes))
        play = deviations.play(hparams, sellers, jnp.asarray(node_codes, jnp.int32)[nodes])
        opening = market.init(key, play, data).opening
        return opening, sellers, nodes, jnp.zeros(len(names)), jnp.zeros(len(node_codes))

    epoch = make_epoch(market, names, node_codes, data)
    step = jax.jit(jax.vmap(epoch, in_axes=(0, 0, None)))
    carry = jax.jit(jax.vmap(begin))(keys, jnp.asarray(starts))
    records = []
    columns = (TextColumn("epochs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for i in progress.track(range(FLAGS.epochs)):
            epoch_keys = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
            carry, record = step(carry, epoch_keys, hparams)
            records.append(jax.device_get(record))
    stacked = jax.tree.map(lambda *x: np.stack(x, 1), *records)  # [starts, epochs, ...]
    return stacked, starts, names, node_names


def tabulate(record, starts, names, node_names) -> pd.DataFrame:
    rows = []
    for i, (sellers, nodes) in enumerate(starts):
        for epoch in range(FLAGS.epochs):
            row = {"start_sellers": sellers, "start_nodes": nodes, "epoch": epoch}
            shares = record["seller_shares"][i, epoch], record["node_shares"][i, epoch]
            row |= {f"seller {name}": x for name, x in zip(names, shares[0])}
            row |= {f"node {name}": x for name, x in zip(node_names, shares[1])}
            for name in ("sellers_left", "nodes_left", "settled", "delivered", "accuracy"):
                row[name] = record[name][i, epoch].item()
            rows.append(row)
    return pd.DataFrame(rows)


def plot(record, starts, names, node_names, path: pathlib.Path) -> None:
    """Trajectories in the plane of honest shares, and the mean shares over the epochs."""
    figure, (plane, over, money) = plt.subplots(1, 3, figsize=(15, 4.8))
    x, y = record["seller_shares"][..., 0], record["node_shares"][..., 0]
    alive = record["delivered"][:, -3:].mean(1)
    colours = plt.get_cmap("RdYlGn")(alive)
    for i in range(len(starts)):
        plane.plot(x[i], y[i], "-", color=colours[i], lw=1.2, alpha=0.9)
        for a, b in ((0, 1), (len(x[i]) // 2, len(x[i]) // 2 + 1)):
            if b < len(x[i]):
                plane.annotate(
                    "", (x[i, b], y[i, b]), (x[i, a], y[i, a]),
                    arrowprops={"arrowstyle": "->", "color": colours[i]},
                )  # fmt: skip
    plane.scatter(x[:, 0], y[:, 0], facecolors="none", edgecolors="grey", s=25, label="start")
    plane.scatter(x[:, -1], y[:, -1], c=colours, s=60, edgecolors="black", label="end", zorder=3)
    plane.set(
        xlabel="honest sellers, of those left", ylabel="honest nodes, of those left",
        xlim=(-0.05, 1.05), ylim=(-0.05, 1.05),
        title="green: good models are delivered in the end",
    )  # fmt: skip
    plane.legend(loc="center left", bbox_to_anchor=(0.0, 0.4))
    for role, styles, labels in (("seller", "-", names), ("node", "--", node_names)):
        mean = record[f"{role}_shares"].mean(0)
        for s, label in enumerate(labels):
            over.plot(mean[:, s], styles, label=f"{role}: {label}")
    over.set(xlabel="epoch", ylabel="share, mean over the starts", ylim=(-0.02, 1.02))
    over.legend(fontsize=8)
    for role in ("sellers", "nodes"):
        left = record[f"{role}_left"].astype(float)
        money.plot((left / left.max()).mean(0), label=f"{role} not banned or broke")
    money.plot(record["settled"].mean(0), label="jobs settled")
    money.plot(record["delivered"].mean(0), label="settled and the model is good")
    money.plot(record["accuracy"].mean(0), label="test accuracy")
    money.set(xlabel="epoch", ylim=(-0.02, 1.02), title="mean over the starts")
    money.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    try:
        config = parse_config(CONFIG.value)
        validate(config.spec, config.hparams, config.data)
        record, starts, names, node_names = evolve(config)
    except ValueError as error:
        sys.exit(f"error: {error}")
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    table = tabulate(record, starts, names, node_names)
    table.to_csv(out / "evolve.csv", index=False)
    plot(record, starts, names, node_names, out / "phase.png")
    command = " ".join(["python", "scripts/evolve.py", *sys.argv[1:]])
    (out / "settings.json").write_text(json.dumps({"command": command}, indent=2) + "\n")
    last = table[table["epoch"] == FLAGS.epochs - 1]
    shown = [c for c in last.columns if c.startswith(("seller ", "node ")) or c == "delivered"]
    print(last[["start_sellers", "start_nodes", *shown]].round(2).to_string(index=False))
    print(f"table and phase plot: {out}")


if __name__ == "__main__":
    app.run(main)
