"""Whole markets of the best-response audit: sellers alone, in coalitions, and the winner.

Used by `best_response.py`, whose flags it reads.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from rich.progress import Progress

from d2m_jax import HParams, as_arrays, make_market
from d2m_jax.attacks import ATTACKS
from d2m_jax.audit import deviations
from d2m_jax.audit.deviations import Payoffs
from d2m_jax.audit.profiles import (
    FREE,
    OTHERS,
    Cell,
    Worlds,
    account_cells,
    buyer_cells,
    claim_cells,
    deposit_cells,
    seller_cells,
    tag_cells,
)
from d2m_jax.audit.strategies import EFFORT, led, searches
from d2m_jax.config.parsing import Config
from d2m_jax.incentives import best_response as br
from d2m_jax.market.world import load_world
from d2m_jax.report.audit import Audit

FLAGS = flags.FLAGS
CLAIM = 5  # times its size
Paid = dict[tuple[str, str], Payoffs]
Utility = Callable[[Payoffs, str], np.ndarray]  # what a cell paid, its label -> [K]


def keys_of(count: int, salt: int) -> jax.Array:
    return jax.random.split(jax.random.key(salt), count)


class Markets:
    """Plays cells of whole markets in batches of one compiled program."""

    def __init__(self, progress: Progress, config: Config, hparams: HParams):
        raw, self.data = load_world(config.data, config.spec.num_sellers, FLAGS.data_dir)
        self.progress, self.num = progress, config.spec.num_sellers
        self.names = [*FLAGS.strategies, "false_size"]
        attack = led(tuple(self.names), tuple(FLAGS.crowd))
        shape, classes = raw.train_images.shape[1:], len(raw.class_names)
        market = make_market(config.spec, shape, classes, attack=attack)
        changes = {"attack": dict(attack.hyper), "tolerated_f": 1}
        self.numbers = as_arrays(HParams(**{**vars(hparams), **changes}))
        self.base = jax.device_get(deviations.honest_play(market, self.numbers, self.data))
        game = functools.partial(deviations.market_game, market)
        self.run = jax.jit(jax.vmap(game, in_axes=(0, 0, None, None)))

    def worlds(self, count: int, salt: int) -> tuple[jax.Array, Worlds]:
        """Keys and deviators of so many worlds; other salts give other worlds."""
        me = jax.random.randint(jax.random.key(salt), (count,), 0, self.num)
        codes = jnp.arange(1, 1 + len(FLAGS.crowd))
        wild = jax.vmap(lambda key: deviations.random_others(key, self.num, codes))
        others = np.asarray(wild(keys_of(count, salt + 1)))
        return keys_of(count, salt + 2), Worlds(self.base, np.asarray(me), others)

    def play(self, keys: jax.Array, cells: Sequence[Cell], what: str) -> Paid:
        """What every profile of every cell pays, [K, ...] by label and others."""
        batch = min(FLAGS.batch, len(keys))
        starts = range(0, len(keys), batch)
        task = self.progress.add_task(what, total=len(cells) * len(starts))
        paid = {}
        for cell in cells:
            code = self.names.index(cell.lead) if cell.lead in self.names else 0
            numbers = {"code": jnp.float32(code), "wild": jnp.float32(cell.others == "random")}
            attack = {**self.numbers.attack, **numbers}
            hparams = dataclasses.replace(self.numbers, attack=attack)
            parts = []
            for start in starts:
                who = np.minimum(np.arange(start, start + batch), len(keys) - 1)
                plays = jax.tree.map(lambda *x: np.stack(x), *[cell.plays[k] for k in who])
                parts.append(jax.device_get(self.run(keys[who], plays, hparams, self.data)))
                self.progress.advance(task)
            whole = jax.tree.map(lambda *x: np.concatenate(x), *parts)
            paid[cell.label, cell.others] = jax.tree.map(lambda x: x[: len(keys)], whole)
        self.progress.remove_task(task)
        return paid


def income(game: Payoffs, worlds: Worlds, size: int = 1, strategy: str = "honest") -> np.ndarray:
    """[K] utility of the deviators of every world, together: pay less the cost of their work."""
    mine = np.stack([worlds.members(k, size) for k in range(len(worlds.me))])
    pay, rounds = (np.take_along_axis(x, mine, 1).sum(1) for x in (game.sellers, game.rounds))
    return pay - FLAGS.training_cost * EFFORT.get(strategy, 1.0) * np.float64(rounds)


def audit_markets(audit: Audit, progress: Progress, config: Config, hparams: HParams) -> None:
    """Sellers deviate alone, under two names, with other data or together; so does the winner."""
    markets = Markets(progress, config, hparams)
    first, again = markets.worlds(FLAGS.worlds, 7), markets.worlds(FLAGS.more_worlds, 17)
    worlds, names = first[1], FLAGS.strategies
    deposit, worth = int(hparams.rules["seller_deposit"]), np.asarray(hparams.money.buyer_values)

    def bought(played: Payoffs, _: str) -> np.ndarray:
        rows = np.arange(len(played.winner)), played.winner
        return played.buyers[rows] + worth[played.winner] * played.settled.astype(np.float64)

    def earned(worlds: Worlds, size: int = 1, heads: int = 1) -> Utility:
        return lambda played, name: income(played, worlds, size, name) / heads

    game = "seller, whole market"
    cells = [*seller_cells(worlds, names), *claim_cells(worlds, CLAIM)]
    add_game(audit, markets, game, first, cells, earned(worlds), deposit)
    dear = [name for name in names if name in ATTACKS and searches(ATTACKS[name])]
    best = [name for name in audit.best(game) if name not in dear][:5]
    cells = seller_cells(again[1], [name for name in names if name in best])
    cells += [cell for cell in claim_cells(again[1], CLAIM) if cell.label in best]
    game = f"seller, the best five in {FLAGS.more_worlds} new worlds"
    add_game(audit, markets, game, again, cells, earned(again[1]), deposit)
    game, cells = "seller with two accounts", account_cells(worlds)
    add_game(audit, markets, game, first, cells, earned(worlds, 2), deposit, 2)
    add_game(audit, markets, "seller of other data", first, tag_cells(worlds), earned(worlds))
    add_game(audit, markets, "buyer, verification", first, buyer_cells(worlds), bought)
    for size in map(int, FLAGS.coalitions):
        cells = seller_cells(worlds, names, size, ["honest"])
        game, pay = f"coalition of {size} of {markets.num} sellers", earned(worlds, size, size)
        add_game(audit, markets, game, first, cells, pay, deposit)
    worst = "label_flip" if "label_flip" in names else names[-1]
    repair_seller(audit, markets, worst, again, deposit)


def add_game(
    audit: Audit,
    markets: Markets,
    game: str,
    where: tuple[jax.Array, Worlds],
    cells: list[Cell],
    utility: Utility,
    deposit: int = 0,
    accounts: int = 1,
) -> None:
    """Plays a game and adds its rows, unless that is done; with a deposit also what would deter."""
    if audit.has(game):
        return
    paid = markets.play(where[0], cells, game)
    rows = {others: [utility(g, name) for (name, o), g in paid.items() if o == others]
            for others in OTHERS}  # fmt: skip
    labels = list(dict.fromkeys(cell.label for cell in cells))
    audit.add(game, labels, {others: np.stack(row) for others, row in rows.items() if row})
    honest = rows["honest"][0]
    for name in audit.pays(game) if deposit else ():  # who is caught has no pay and no deposit
        gap, lost = rows["honest"][labels.index(name)] - honest, -accounts * deposit - honest
        solved = br.break_even(gap, lost, 1.0, FLAGS.confidence)
        audit.repair(f"{game}: {name}", f"detection rate, deposit {deposit:,}", solved)
        if accounts > 1:
            solved = br.break_even(gap, gap - (accounts - 1), 1.0, FLAGS.confidence)
            audit.repair(f"{game}: {name}", "fee per account and job", solved)
    audit.keep()


def repair_seller(
    audit: Audit, markets: Markets, worst: str, where: tuple[jax.Array, Worlds], deposit: int
) -> None:
    """The deposit at which the strategy `worst`, worth G outside, stops to pay."""
    gain, (keys, worlds) = FLAGS.outside_gain, where
    game = f"seller, {worst}, G = {gain:,.0f}"
    if audit.has(game):
        return
    paid = markets.play(keys, deposit_cells(worlds, worst), game)
    rows, me = np.arange(len(keys)), worlds.me

    def utility(name: str, kind: str = "") -> np.ndarray:
        return income(paid[name + kind, "honest"], worlds, 1, name)

    caught = paid[worst, "honest"].slashed[rows, me]
    free = utility(worst, FREE) + gain * ~caught
    fined = utility(worst) + gain * ~caught
    gap = free - utility("honest", FREE), fined - utility("honest")
    if not caught.any():
        return
    work = {n: paid[n, "honest"].rounds[rows, me].mean() for n in ("honest", worst)}
    cost = FLAGS.training_cost * (work["honest"] - EFFORT.get(worst, 1.0) * work[worst])
    pay = utility("honest", FREE).mean() + cost
    missed = free[~caught].mean() - gain if (~caught).any() else 0.0
    closed = br.seller_deposit_bound(caught.mean(), pay, missed, gain, cost)
    solved = br.break_even(*gap, deposit, FLAGS.confidence)
    audit.repair(game, "seller deposit", solved, closed)
    audit.closed(
        f"{game}, deposit {deposit:,}",
        f"detection rate (measured {caught.mean():.2f})",
        br.detection_bound(deposit, pay, missed, gain, cost),
    )
    audit.keep()
