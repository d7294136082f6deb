"""Learned deviators as rows of an audit, beside the listed ones. Read first: `training.py`."""

import pathlib
from collections.abc import Iterator

import jax
import numpy as np
import pandas as pd

from d2m_jax import as_arrays, make_market
from d2m_jax import ledger as books
from d2m_jax.audit.learned.buyers import buyer_game
from d2m_jax.audit.learned.nodes import node_coalition
from d2m_jax.audit.learned.sellers import seller_game
from d2m_jax.audit.learned.training import Effort, Game, Learned, learn
from d2m_jax.audit.settings import Stage
from d2m_jax.config.hparams import HParams
from d2m_jax.config.parsing import Config
from d2m_jax.market.auction import AUCTIONS
from d2m_jax.market.world import load_world

MARKET_WORLDS = 4  # whole markets that a candidate plays in a generation
COALITIONS = (0.2, 0.4, 0.55)  # shares of the pool


def audit_learned(stage: Stage, config: Config, hparams: HParams, roles: list[str]) -> None:
    """Trains a deviator of every game of the roles; one verdict and two rows each.

    The learning curves are written to `curves.csv`.
    """
    audit, progress, settings = stage
    games = [pair for role in roles for pair in games_of(role, stage, config, hparams)]
    for number, (game, worlds, judged) in enumerate(progress.track(games, description="learned")):
        if audit.has(f"{game.name}, learned"):
            continue
        effort = Effort(settings.generations, settings.candidates, worlds, settings.restarts)
        found = learn(jax.random.key(1_000 + number), game, effort, judged_on=judged)
        said = f"learned: {game.tell(found.policy)}"
        audit.add(f"{game.name}, learned", ["honest", said], {"honest": found.payoffs})
        audit.keep()
        if audit.out:
            keep_curve(audit.out / "curves.csv", curve_rows(game, found))


def keep_curve(path: pathlib.Path, curve: pd.DataFrame) -> None:
    """Writes the curve of a game beside those that are there; an older one of it is replaced."""
    kept = pd.read_csv(path) if path.exists() else curve.iloc[:0]
    others = kept[~kept["game"].isin(curve["game"])]
    pd.concat([others, curve]).to_csv(path, index=False)


def curve_rows(game: Game, found: Learned) -> pd.DataFrame:
    """A row per restart and generation: mean income of the candidates."""
    restarts, generations = found.curve.shape
    place = np.indices((restarts, generations)).reshape(2, -1)
    columns = {"restart": place[0], "generation": place[1], "income": found.curve.reshape(-1)}
    return pd.DataFrame({"game": game.name, **columns})


def games_of(
    role: str, stage: Stage, config: Config, hparams: HParams
) -> Iterator[tuple[Game, int, int]]:
    """The games of a role, worlds that a candidate plays in each, worlds of the report."""
    settings, spec = stage.settings, config.spec
    rules = books.make_rules(**hparams.rules)
    if role == "buyer":
        values = hparams.money.buyer_values
        for auction in AUCTIONS:
            game = buyer_game(auction, rules, num_buyers=len(values), top=int(max(values)))
            yield game, 256, settings.votes
    if role in ("node", "coalition"):
        sizes = [1] if role == "node" else [round(share * spec.num_nodes) for share in COALITIONS]
        for members in sizes:
            yield (
                node_coalition(
                    rules,
                    hparams.cone,
                    num_nodes=spec.num_nodes,
                    members=members,
                    num_rounds=spec.num_rounds,
                    execution_cost=settings.execution_cost,
                    outside_gain=settings.outside_gain,
                ),
                32,
                settings.votes,
            )
    if role == "seller":
        dataset, data = load_world(
            config.data, spec.num_sellers, settings.data_dir, unit_slots=spec.unit_slots
        )
        market = make_market(spec, dataset)
        numbers = as_arrays(hparams.replace(tolerated_f=1))
        for deviators in (1, *settings.coalitions):
            game = seller_game(
                market, numbers, data, deviators=deviators, training_cost=settings.training_cost
            )
            yield game, MARKET_WORLDS, settings.more_worlds
