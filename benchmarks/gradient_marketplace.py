"""The attacks, defences and measures of gradient marketplaces, on images, a table and texts.

    python -m benchmarks.gradient_marketplace --data_dir=DIR --out=docs/gradient_marketplace.csv
    python -m benchmarks.gradient_marketplace --tasks breast_cancer --seeds=1 --rounds=10 --apart=0

After Song, Galhotra and Mehnaz, arXiv 2509.05833: sellers that mimic, pivot, knock out, drown and
copy after observation, beside sign and label flips; buyers that deny, starve and leave a class out;
martFL, SkyMask and FLTrust beside Corrected OSMD. 4 of 12 sellers are bad, 8 send an update in a
round. Prints, for every task and defence, the means over worlds of accuracy, of the updates bought
until the buyer's threshold was reached, of the share of bad pay, of the shares of updates of honest
and of bad sellers that were bought (first and last third of the rounds), of honest sellers of whom
nothing was bought and of the Jain index of honest pay; with --out a row per configuration.

Every configuration also runs in a process of its own, a sample of --apart of them, as the released
code does it; the last line says how long the sweep took and how long that would have taken. About
a quarter of an hour on two cores. DIR holds trec/.
"""

import argparse
import functools
import itertools
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from d2m_jax import HParams, Spec, as_arrays
from d2m_jax.attacks import ATTACKS
from d2m_jax.attacks.buyers import BUYERS
from d2m_jax.config.hparams import Learning
from d2m_jax.config.population import Population
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.types import PyTree
from d2m_jax.data import Dataset, FederatedData, load
from d2m_jax.market import MarketOutcome, deal
from d2m_jax.report.selection import selection_rate
from d2m_jax.sweep.plan import Assault, Rule
from d2m_jax.sweep.program import Shape, market_for
from d2m_jax.sweep.tables import runs_columns
from d2m_jax.tasks import make_task
from d2m_jax.tasks.text import text_bow

ROOT = pathlib.Path(__file__).resolve().parents[1]
SELLERS, SAMPLED, BAD, LOOKS = 12, 8, 4, 10


class Trade(NamedTuple):
    """What is traded."""

    network: Any
    rate: float
    momentum: float
    tau: float


class Seller(NamedTuple):
    """What bad sellers do."""

    attack: str
    numbers: dict[str, float]


TASKS = {
    "digits": Trade("mlp", 0.3, 0.0, 0.85),
    "breast_cancer": Trade("logreg", 0.1, 0.9, 0.9),
    "trec": Trade(functools.partial(text_bow, embedding=8), 1.0, 0.9, 0.5),
}
SELLING = {
    "none": Seller("none", {}),
    "sybil mimicry": Seller("knock_out", {"blend": 0.8}),
    "knock-out": Seller("knock_out", {"blend": 0.5}),
    "pivot": Seller("sleeper", {}),
    "drowning": Seller("drowning", {}),
    "copy after observation": Seller("copycat", {}),
    "orthogonal": Seller("orthogonal", {}),
    "sign flip": Seller("sign_flip", {"scale": 3.0}),
    "label flip": Seller("label_flip", {}),
}
DEFENCES = {
    "martFL": "martfl",
    "SkyMask": "skymask",
    "FLTrust": "fltrust",
    "Corrected OSMD": "own",
}
MEASURES = {  # column of a sweep: how it is shown
    "test_metric": "accuracy, %",
    "bought_until_target": "bought until target",
    "bad_pay_share": "bad pay, %",
    "honest_selection_rate": "honest bought, %",
    "bad_selection_rate": "bad bought, %",
    "honest_never_used": "honest never bought, %",
    "honest_pay_jain": "Jain",
}


def shape_of(
    name: str, dataset: Dataset, defences: Sequence[str], sellers: Sequence[str], rounds: int
) -> Shape:
    """The program of a task: rules by index, or Corrected OSMD alone; attacks by index."""
    task = make_task(TASKS[name].network, dataset)
    rules = tuple(Rule(DEFENCES[defence], (), "paper") for defence in defences)
    own = rules[0].name == "own"
    spec = Spec(
        model=task,
        num_sellers=SELLERS,
        num_sampled=SAMPLED,
        num_rounds=rounds,
        eval_every=max(rounds // LOOKS, 1),
        batch_size=16,
        sampler="corrected_osmd" if own else "selecting",
        aggregator=rules[0].name,
        contribution="gain",
        num_nodes=16,
    )
    attacks = tuple(Assault(SELLING[seller].attack, ()) for seller in sellers)
    return Shape(spec, task, () if own else rules, attacks, 0)


def numbers(name: str, shape: Shape, sellers: Sequence[str]) -> HParams:
    """The numbers of a task; those of rules and attacks by place."""
    trade = TASKS[name]
    plain = HParams(
        tau=trade.tau,
        learning=Learning(lr=trade.rate, momentum=trade.momentum),
        population=Population(num_byzantine=BAD),
    )
    acts = [SELLING[seller] for seller in sellers]
    filled = [{**ATTACKS[act.attack].numbers, **act.numbers} for act in acts]
    attack, rules = tuple(filled), tuple({} for _ in shape.rules)
    typed = jax.tree.map(lambda x: jnp.float32(x), attack)
    return as_arrays(plain).replace(attack=typed, aggregator=rules)


def worlds(name: str, dataset: Dataset, seeds: int) -> FederatedData:
    """The data of all worlds, every leaf [W, ...]."""
    dealt = DataSpec(
        name=name, partition="iid", num_validation=100, num_root=60, min_samples=5, max_train=0
    )
    own = [
        deal(dataset, dealt.__class__(**{**vars(dealt), "seed": seed}), SELLERS)
        for seed in range(seeds)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *own)


def lied(data: FederatedData, buyer: str) -> FederatedData:
    """The same worlds with a buyer that lies about what it wants."""
    if buyer not in BUYERS:
        return data
    lie = BUYERS[buyer]
    keys = jax.random.split(jax.random.key(11), data.sizes.shape[0])
    changed = {
        part: jax.vmap(functools.partial(lie, classes=(0,)))(keys, getattr(data, part))
        for part in ("correction", "root")
    }
    return data.replace(**changed)


def configurations() -> Iterator[tuple[str, str]]:
    """Pairs of what bad sellers do and what the buyer does: one of them at most."""
    yield from ((seller, "honest") for seller in SELLING)
    yield from (("none", buyer) for buyer in BUYERS)


def program(shape: Shape) -> Any:
    """(choice [2], seeds [W], hparams, data [W, ...]) -> outcomes [W, ...], compiled once."""

    def one(choice: jax.Array, seed: jax.Array, hparams: HParams, data: FederatedData) -> PyTree:
        market, rest = market_for(shape, choice, hparams)
        outcome = market.run(jax.random.key(seed), rest, data)
        return outcome._replace(theta=(), defence=outcome.defence._replace(memory=()))

    return jax.jit(jax.vmap(one, in_axes=(None, 0, None, 0)))


def dynamics(outcome: MarketOutcome) -> dict[str, np.ndarray]:
    """Shares of the updates of honest and bad sellers that were bought, by thirds of the rounds."""
    bad = np.asarray(outcome.roles.bad_seller)
    sellers = np.asarray(outcome.rounds.sellers)
    is_bad = bad[np.arange(len(bad))[:, None, None], sellers]
    used, here = np.asarray(outcome.rounds.accepted), np.asarray(outcome.rounds.present)
    third = max(used.shape[1] // 3, 1)
    found = {}
    for part, span in (("first", slice(0, third)), ("last", slice(-third, None))):
        for who, chosen in (("honest", here & ~is_bad), ("bad", here & is_bad)):
            found[f"{who}_{part}"] = selection_rate(used[:, span], chosen[:, span])
    return found


def play(name: str, args: argparse.Namespace, only: tuple[str, str, str] | None) -> pd.DataFrame:
    """All configurations of a task, or one of them (defence, seller, buyer)."""
    dataset = load(name, args.data_dir)
    data, rows = worlds(name, dataset, args.seeds), []
    pairs = [only[1:]] if only else list(configurations())
    acts = list(dict.fromkeys(seller for seller, _ in pairs))
    for defences in groups([only[0]] if only else args.defences):
        shape = shape_of(name, dataset, defences, acts, args.rounds)
        run, hparams = program(shape), numbers(name, shape, acts)
        for (rule, defence), (seller, buyer) in itertools.product(enumerate(defences), pairs):
            choice = jnp.array([rule, acts.index(seller)], jnp.int32)
            hp = hparams if seller != "none" else honest(hparams)
            outcome = jax.device_get(run(choice, jnp.arange(args.seeds), hp, lied(data, buyer)))
            values = np.tile(np.asarray(hparams.money.buyer_values), (args.seeds, 1))
            layout = jax.tree.map(lambda leaf: leaf[0], outcome.ledger).layout
            found = {**runs_columns(outcome, layout, values), **dynamics(outcome)}
            who = {"task": name, "defence": defence, "sellers": seller, "buyer": buyer}
            kept = {column: found[column] for column in (*MEASURES, *dynamics(outcome))}
            rows.append(pd.DataFrame({**who, "seed": np.arange(args.seeds), **kept}))
            print(f"{' '.join(who.values())}: {kept['test_metric'].mean():.3f}", file=sys.stderr)
    return pd.concat(rows, ignore_index=True)


def groups(defences: Sequence[str]) -> list[list[str]]:
    """Defences that share a program: the rules, and Corrected OSMD, which brings its own."""
    rules = [defence for defence in defences if DEFENCES[defence] != "own"]
    own = [defence for defence in defences if DEFENCES[defence] == "own"]
    return [group for group in (rules, own) if group]


def honest(hparams: HParams) -> HParams:
    """The same numbers with nobody bad."""
    return hparams.replace(population=as_arrays(HParams(population=Population())).population)


def show(rows: pd.DataFrame) -> None:
    """The table of a task: a line for every defence and attack, means over worlds."""
    heads = [*MEASURES.values(), "honest and bad bought, first third", "last third"]
    print("| task | defence | sellers | buyer | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 4) + "|")
    for who, part in rows.groupby(["task", "defence", "sellers", "buyer"], sort=False):
        cells = []
        for column in MEASURES:
            value = part[column].mean()
            percent = MEASURES[column].endswith("%")
            form = f"{100 * value:.1f}" if percent else f"{value:.2f}"
            form = f"{value:.0f}" if column == "bought_until_target" else form
            cells.append("-" if np.isnan(value) else form)
        for third in ("first", "last"):
            pair = [100 * part[f"{kind}_{third}"].mean() for kind in ("honest", "bad")]
            cells.append(", ".join("-" if np.isnan(x) else f"{x:.0f}" for x in pair))
        print("| " + " | ".join([*who, *cells]) + " |", flush=True)


def seconds_apart(rows: pd.DataFrame, args: argparse.Namespace) -> float:
    """Mean seconds of a process that runs one configuration and one world, of a sample."""
    runs = rows[["task", "defence", "sellers", "buyer"]].drop_duplicates()
    chosen = runs.iloc[np.linspace(0, len(runs) - 1, args.apart).astype(int)]
    started = time.perf_counter()
    for who in chosen.itertuples(index=False):
        command = [sys.executable, "-m", "benchmarks.gradient_marketplace", "--tasks", who.task]
        command += ["--only", who.defence, who.sellers, who.buyer, "--seeds=1", "--apart=0"]
        command += [f"--rounds={args.rounds}"]
        command += [f"--data_dir={args.data_dir}"] if args.data_dir else []
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return (time.perf_counter() - started) / args.apart


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables, and what one process for each configuration would have taken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--defences", nargs="*", default=list(DEFENCES), choices=list(DEFENCES))
    parser.add_argument("--data_dir", default=None, help="folder of trec/")
    parser.add_argument("--seeds", type=int, default=3, help="worlds of a configuration")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--apart", type=int, default=3, help="configurations timed apart; 0: none")
    parser.add_argument("--only", nargs=3, default=None, help="defence, sellers, buyer")
    parser.add_argument("--out", default="", help="CSV file of all rows")
    args = parser.parse_args(argv)
    only = tuple(args.only) if args.only else None
    if args.rounds % LOOKS:
        parser.error(f"rounds must be a multiple of {LOOKS}, not {args.rounds}")
    started = time.perf_counter()
    rows = pd.concat([play(name, args, only) for name in args.tasks], ignore_index=True)
    whole = time.perf_counter() - started
    show(rows)
    if args.out:
        rows.round(4).to_csv(args.out, index=False)
    if args.apart:
        each = seconds_apart(rows, args)
        print(
            f"\n{len(rows)} runs in {whole:.0f} s; a process each takes {each:.0f} s (mean of "
            f"{args.apart}), {len(rows) * each / whole:.0f} times as long in all"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
