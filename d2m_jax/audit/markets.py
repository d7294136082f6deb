"""Whole markets of the best-response audit: sellers alone, in coalitions, and the winner.

Read first: `profiles.py`, `deviations.py`. Not here: auctions and votes (`votes.py`).
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import HParams, as_arrays, make_market
from d2m_jax.attacks import ATTACKS, Attack
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
from d2m_jax.audit.settings import Stage, keys_of
from d2m_jax.audit.strategies import EFFORT, Lead, led, searches
from d2m_jax.config.parsing import Config
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.incentives import best_response as br
from d2m_jax.market.world import load_world
from d2m_jax.report.audit import Audit

CLAIM = 5  # times its size
Paid = dict[tuple[str, str], Payoffs]
Utility = Callable[[Payoffs, str], np.ndarray]  # what a cell paid, its label -> [K]


class Markets:
    """Plays cells of whole markets in batches of one compiled program."""

    def __init__(self, stage: Stage, config: Config, hparams: HParams):
        self.progress, self.settings = stage.progress, stage.settings
        data_dir = self.settings.data_dir
        dataset, self.data = load_world(
            config.data,
            config.spec.num_sellers,
            data_dir,
            unit_slots=config.spec.unit_slots,
        )
        self.num = config.spec.num_sellers
        self.names = [*self.settings.strategies, "false_size"]
        market = make_market(config.spec, dataset)
        self.numbers = as_arrays(hparams.replace(tolerated_f=1))
        self.base = jax.device_get(deviations.honest_play(market, self.numbers, self.data))
        names = tuple(self.names), tuple(self.settings.crowd)

        def game(
            key: Key, play: deviations.Play, lead: Lead, hparams: HParams, data: FederatedData
        ) -> Payoffs:
            attack_of = functools.partial(_led, names, lead)
            return deviations.market_game(market, attack_of, key, play, hparams, data)

        self.run = jax.jit(jax.vmap(game, in_axes=(0, 0, None, None, None)))

    def worlds(self, count: int, salt: int) -> tuple[jax.Array, Worlds]:
        """Keys and deviators of so many worlds; other salts give other worlds."""
        me = jax.random.randint(jax.random.key(salt), (count,), 0, self.num)
        codes = jnp.arange(1, 1 + len(self.settings.crowd))
        wild = jax.vmap(lambda key: deviations.random_others(key, self.num, codes))
        others = np.asarray(wild(keys_of(count, salt + 1)))
        return keys_of(count, salt + 2), Worlds(self.base, np.asarray(me), others)

    def play(self, keys: jax.Array, cells: Sequence[Cell], what: str) -> Paid:
        """What every profile of every cell pays, [K, ...] by label and others."""
        batch = min(self.settings.batch, len(keys))
        starts = range(0, len(keys), batch)
        task = self.progress.add_task(what, total=len(cells) * len(starts))
        paid = {}
        for cell in cells:
            code = self.names.index(cell.lead) if cell.lead in self.names else 0
            lead = Lead(jnp.int32(code), jnp.bool(cell.others == "random"))
            parts = []
            for start in starts:
                who = np.minimum(np.arange(start, start + batch), len(keys) - 1)
                plays = jax.tree.map(lambda *x: np.stack(x), *[cell.plays[k] for k in who])
                parts.append(
                    jax.device_get(self.run(keys[who], plays, lead, self.numbers, self.data))
                )
                self.progress.advance(task)
            whole = jax.tree.map(lambda *x: np.concatenate(x), *parts)
            paid[cell.label, cell.others] = jax.tree.map(lambda x: x[: len(keys)], whole)
        self.progress.remove_task(task)
        return paid


def _led(names: tuple[tuple[str, ...], tuple[str, ...]], lead: Lead, codes: jax.Array) -> Attack:
    return led(*names, codes, lead)


def income(
    game: Payoffs, worlds: Worlds, cost: float, size: int = 1, strategy: str = "honest"
) -> np.ndarray:
    """[K] utility of the deviators of every world, together: pay less the cost of their work.

    Args:
        game: what was paid.
        worlds: who deviates.
        cost: of a round of honest training, units.
        size: how many deviate together.
        strategy: of theirs; see `EFFORT`.
    """
    mine = np.stack([worlds.members(k, size) for k in range(len(worlds.me))])
    pay, rounds = (
        np.take_along_axis(np.asarray(x), mine, 1).sum(1) for x in (game.sellers, game.rounds)
    )
    return pay - cost * EFFORT.get(strategy, 1.0) * np.float64(rounds)


def audit_markets(stage: Stage, config: Config, hparams: HParams) -> None:
    """Sellers deviate alone, under two names, with other data or together; so does the winner."""
    settings, markets = stage.settings, Markets(stage, config, hparams)
    first, again = markets.worlds(settings.worlds, 7), markets.worlds(settings.more_worlds, 17)
    worlds, names = first[1], settings.strategies
    deposit, worth = int(hparams.rules["seller_deposit"]), np.asarray(hparams.money.buyer_values)

    def bought(played: Payoffs, _: str) -> np.ndarray:
        rows = np.arange(len(played.winner)), played.winner
        return played.buyers[rows] + worth[played.winner] * played.settled.astype(np.float64)

    def earned(worlds: Worlds, size: int = 1, heads: int = 1) -> Utility:
        return lambda played, name: (
            income(played, worlds, settings.training_cost, size, name) / heads
        )

    game = "seller, whole market"
    cells = [*seller_cells(worlds, names), *claim_cells(worlds, CLAIM)]
    add_game(stage.audit, markets, game, first, cells, earned(worlds), deposit)
    dear = [name for name in names if name in ATTACKS and searches(ATTACKS[name])]
    best = [name for name in stage.audit.best(game) if name not in dear][:5]
    cells = seller_cells(again[1], [name for name in names if name in best])
    cells += [cell for cell in claim_cells(again[1], CLAIM) if cell.label in best]
    game = f"seller, the best five in {settings.more_worlds} new worlds"
    add_game(stage.audit, markets, game, again, cells, earned(again[1]), deposit)
    game, cells = "seller with two accounts", account_cells(worlds)
    add_game(stage.audit, markets, game, first, cells, earned(worlds, 2), deposit, 2)
    add_game(stage.audit, markets, "seller of other data", first, tag_cells(worlds), earned(worlds))
    add_game(stage.audit, markets, "buyer, verification", first, buyer_cells(worlds), bought)
    for size in settings.coalitions:
        cells = seller_cells(worlds, names, size, ["honest"])
        game, pay = f"coalition of {size} of {markets.num} sellers", earned(worlds, size, size)
        add_game(stage.audit, markets, game, first, cells, pay, deposit)
    worst = "label_flip" if "label_flip" in names else names[-1]
    repair_seller(stage.audit, markets, worst, again, deposit)


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
    honest, confidence = rows["honest"][0], markets.settings.confidence
    for name in audit.pays(game) if deposit else ():  # who is caught has no pay and no deposit
        gap, lost = rows["honest"][labels.index(name)] - honest, -accounts * deposit - honest
        solved = br.break_even(gap, lost, 1.0, confidence)
        audit.repair(f"{game}: {name}", f"detection rate, deposit {deposit:,}", solved)
        if accounts > 1:
            solved = br.break_even(gap, gap - (accounts - 1), 1.0, confidence)
            audit.repair(f"{game}: {name}", "fee per account and job", solved)
    audit.keep()


def repair_seller(
    audit: Audit, markets: Markets, worst: str, where: tuple[jax.Array, Worlds], deposit: int
) -> None:
    """The deposit at which the strategy `worst`, worth G outside, stops to pay."""
    settings, (keys, worlds) = markets.settings, where
    gain = settings.outside_gain
    game = f"seller, {worst}, G = {gain:,.0f}"
    if audit.has(game):
        return
    paid = markets.play(keys, deposit_cells(worlds, worst), game)
    rows, me = np.arange(len(keys)), worlds.me

    def utility(name: str, kind: str = "") -> np.ndarray:
        return income(paid[name + kind, "honest"], worlds, settings.training_cost, 1, name)

    caught = np.asarray(paid[worst, "honest"].slashed)[rows, me]
    free = utility(worst, FREE) + gain * ~caught
    fined = utility(worst) + gain * ~caught
    gap = free - utility("honest", FREE), fined - utility("honest")
    if not caught.any():
        return
    work = {n: float(paid[n, "honest"].rounds[rows, me].mean()) for n in ("honest", worst)}
    cost = settings.training_cost * (work["honest"] - EFFORT.get(worst, 1.0) * work[worst])
    pay = utility("honest", FREE).mean() + cost
    missed = free[~caught].mean() - gain if (~caught).any() else 0.0
    closed = br.seller_deposit_bound(caught.mean(), pay, missed, gain, cost)
    solved = br.break_even(*gap, deposit, settings.confidence)
    audit.repair(game, "seller deposit", solved, closed)
    audit.closed(
        f"{game}, deposit {deposit:,}",
        f"detection rate (measured {caught.mean():.2f})",
        br.detection_bound(deposit, pay, missed, gain, cost),
    )
    audit.keep()
