"""Whole markets of the best-response audit: sellers alone, in coalitions, and the winner.

Used by `best_response.py`, whose flags it reads.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from rich.progress import Progress

from d2m_jax import HParams, Market, as_arrays, deviations, make_market
from d2m_jax.attacks import ATTACKS, Attack
from d2m_jax.config import Config
from d2m_jax.incentives import best_response as br
from d2m_jax.profiles import (
    OTHERS,
    Cells,
    Worlds,
    account_cells,
    buyer_cells,
    coalition_cells,
    seller_cells,
    tag_cells,
)
from d2m_jax.report.audit import Audit
from d2m_jax.strategies import EFFORT, one_of, repertoire, searches, seller_strategies
from d2m_jax.world import load_world

FLAGS = flags.FLAGS
REPAIRS = 3  # times as many worlds where a threshold is solved for


def keys_of(count: int, salt: int) -> jax.Array:
    return jax.random.split(jax.random.key(salt), count)


class Markets:
    """Plays cells of whole markets in batches of one compiled program and keeps what was paid."""

    def __init__(self, progress: Progress, config: Config, hparams: HParams, seeds: int):
        raw, self.data = load_world(config.data, config.spec.num_sellers, FLAGS.data_dir)
        self.progress, self.spec, self.hparams = progress, config.spec, hparams
        self.shape, self.classes = raw.train_images.shape[1:], len(raw.class_names)
        self.keys, self.paid = keys_of(seeds, 9), {}

    def build(self, attack: Attack) -> tuple[Market, HParams]:
        """A market with this attack, and its numbers."""
        market = make_market(self.spec, self.shape, self.classes, attack=attack)
        changes = {"attack": dict(attack.hyper), "tolerated_f": 1}
        return market, as_arrays(HParams(**{**vars(self.hparams), **changes}))

    def compile(self, market: Market) -> Callable:
        """The game of the market as one program for many profiles; its numbers are shared."""
        game = functools.partial(deviations.market_game, market)
        return jax.jit(jax.vmap(game, in_axes=(0, 0, None, None)))

    def play(self, run: Callable, typed: HParams, cells: Cells, what: str) -> None:
        """Plays every profile of every cell; the payoffs go into `paid`."""
        flat = [(cell, k) for cell, plays in cells.items() for k in range(len(plays))]
        batches = [flat[i : i + FLAGS.batch] for i in range(0, len(flat), FLAGS.batch)]
        for batch in self.progress.track(batches, description=what):
            full = (batch + [batch[-1]] * FLAGS.batch)[: FLAGS.batch]
            stacked = jax.tree.map(lambda *x: np.stack(x), *[cells[cell][k] for cell, k in full])
            ks = np.asarray([k for _, k in full])
            result = jax.device_get(run(self.keys[ks], stacked, typed, self.data))
            for i, (cell, k) in enumerate(batch):
                self.paid[cell, k] = jax.tree.map(lambda x, i=i: x[i], result)


def audit_markets(audit: Audit, progress: Progress, config: Config, hparams: HParams) -> None:
    """Sellers deviate alone, under two names, with other data or together; so does the winner."""
    searching = [name for name in FLAGS.strategies if name in ATTACKS and searches(ATTACKS[name])]
    cheap = [name for name in FLAGS.strategies if name not in (*searching, "false_size")]
    known = seller_strategies((*cheap, "false_size"))
    liar = list(known).index("false_size")  # the last: others never lie about sizes
    codes = {name: code for code, name in enumerate(known) if code < liar}
    worst = "label_flip" if "label_flip" in codes else list(codes)[-1]
    seeds, num, many = FLAGS.worlds, config.spec.num_sellers, REPAIRS * FLAGS.worlds
    sizes = [int(size) for size in FLAGS.coalitions]

    markets = Markets(progress, config, hparams, many)
    market, typed = markets.build(repertoire(known))
    base = jax.device_get(deviations.honest_play(market, typed, markets.data))
    me = np.asarray(jax.random.randint(jax.random.key(7), (many,), 0, num))
    draw = jax.vmap(lambda key: deviations.random_others(key, num, jnp.arange(1, liar)))
    wild = np.asarray(draw(keys_of(many, 8)))
    worlds, more = Worlds(base, me[:seeds], wild[:seeds]), Worlds(base, me, wild)
    together = {name: code for name, code in codes.items() if code}
    cells = {
        **seller_cells(worlds, codes, liar, 5),
        **account_cells(worlds),
        **tag_cells(worlds),
        **buyer_cells(worlds),
        **coalition_cells(worlds, together, sizes),
    }
    for name in ("honest", worst):  # deterrence of a seller that poisons its labels
        plays = more.each(lambda k, c=codes[name]: more.deviate(k, "honest", c))
        cells[name, "honest"] = plays
        cells[name, "no deposit"] = [p._replace(deposit=np.int32(0)) for p in plays]
    markets.play(markets.compile(market), typed, cells, "markets")
    if searching:
        market, typed = markets.build(one_of(tuple(searching)))
        run = markets.compile(market)
        for code, name in enumerate(searching):
            chosen = dataclasses.replace(typed, attack={"code": jnp.float32(code)})
            alone = coalition_cells(worlds, {name: 1}, [1, *sizes])
            markets.play(run, chosen, alone, name[:10])
    paid = markets.paid

    def income(name: str, others: str, size: int = 1, strategy: str = "honest") -> np.ndarray:
        """Utility of the deviators of every world, together: pay less the cost of their work."""
        total = []
        for k in range(sum((name, others) == cell for cell, _ in paid)):
            game, mine = paid[(name, others), k], more.members(k, size)
            work = EFFORT.get(strategy, 1.0) * game.rounds[mine].sum()
            total.append(game.sellers[mine].sum() - FLAGS.training_cost * work)
        return np.asarray(total, np.float64)

    def rows(cells: list[tuple[str, str]], others: str, size: int = 1) -> np.ndarray:
        return np.stack([income(cell, others, size, name)[:seeds] for cell, name in cells])

    alone = [(name, name) for name in [*codes, "claims 5x its size"]]
    audit.add("seller, whole market", [n for n, _ in alone], {o: rows(alone, o) for o in OTHERS})
    if searching:
        found = [("honest", "honest"), *((f"1: {name}", name) for name in searching)]
        table = {"honest": rows(found, "honest")}
        audit.add("seller, attacks that search or remember", [n for _, n in found], table)
    for game, names, size in (
        ("seller with two accounts", ("one account", "split in two", "copied data"), 2),
        ("seller of other data", ("other data, says so", "other data, tag lie"), 1),
    ):
        same = [(name, "honest") for name in names]
        audit.add(game, list(names), {o: rows(same, o, size) for o in OTHERS})
    for size in sizes:
        found = [("honest", "honest"), *((f"{size}: {n}", n) for n in [*together, *searching])]
        table = {"honest": rows(found, "honest", size) / size}
        audit.add(f"coalition of {size} of {num} sellers", [n for _, n in found], table)

    def bought(name: str, others: str) -> np.ndarray:
        ended = [paid[(f"buyer, {name}", others), k] for k in range(seeds)]
        worth = np.asarray(hparams.money.buyer_values)
        return np.asarray(
            [g.buyers[g.winner] + worth[g.winner] * bool(g.settled) for g in ended], np.float64
        )

    names = ["honest", "false dispute", "withheld metric", "mislabelled verdict examples"]
    table = {o: np.stack([bought(n, o) for n in names]) for o in OTHERS}
    audit.add("buyer, verification", names, table)
    repair_sellers(audit, hparams, worst, paid, me, income)


def repair_sellers(
    audit: Audit, hparams: HParams, worst: str, paid: dict, me: np.ndarray, income: Callable
) -> None:
    """The deposit at which the strategy `worst`, worth G outside, stops to pay."""
    gain, deposit = FLAGS.outside_gain, int(hparams.rules["seller_deposit"])

    def read(name: str, what: Callable) -> np.ndarray:
        return np.array([what(paid[(name, "honest"), k], m) for k, m in enumerate(me)])

    caught = read(worst, lambda game, m: bool(game.slashed[m]))
    free = income(worst, "no deposit", 1, worst) + gain * ~caught
    fined = income(worst, "honest", 1, worst) + gain * ~caught
    gap = free - income("honest", "no deposit"), fined - income("honest", "honest")
    solved = br.break_even(*gap, deposit, FLAGS.confidence)
    if not caught.any():
        return
    work = {n: read(n, lambda game, m: game.rounds[m]).mean() for n in ("honest", worst)}
    cost = FLAGS.training_cost * (work["honest"] - EFFORT.get(worst, 1.0) * work[worst])
    pay = income("honest", "no deposit").mean() + cost
    missed = free[~caught].mean() - gain if (~caught).any() else 0.0
    closed = br.seller_deposit_bound(caught.mean(), pay, missed, gain, cost)
    game = f"seller, {worst}, G = {gain:,.0f}"
    audit.repair(game, "seller deposit", solved, closed)
    audit.repairs.append(
        {
            "game": f"{game}, deposit {deposit:,}",
            "parameter": f"detection rate (measured {caught.mean():.2f})",
            "closed form": br.detection_bound(deposit, pay, missed, gain, cost),
        }
    )
