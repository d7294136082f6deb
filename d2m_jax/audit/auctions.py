"""Auctions of the best-response audit: conduct of a buyer in every format, and what theory says.

No learning here. Read first: `games.py`. Not here: votes (`votes.py`), whole markets
(`markets.py`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from d2m_jax import ledger as books
from d2m_jax.audit import games
from d2m_jax.audit.profiles import OTHERS
from d2m_jax.audit.settings import Stage, keys_of
from d2m_jax.config.hparams import HParams
from d2m_jax.core.types import Key
from d2m_jax.incentives.auctions import equilibrium_share, expected_revenue
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.bidding import Bidding

MULTIPLIERS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.3, 1.5)
PLAYER, SECOND, FIRST_RIVAL = 0, 1, 2  # accounts; the second one is silent unless it is used
GAMES = {"sealed": "second price", "ascending": "ascending", "first_price": "sealed first price"}
NUM_BLOCKS = 60  # of an ascending auction: it has come to its end long before
CALM = (Bidding.TRUTHFUL, Bidding.JUMP, Bidding.SNIPE)  # what rivals at random do


class Profile(NamedTuple):
    """What the player does, and with whom."""

    label: str
    bid_bps: int = BPS  # limit over value
    conduct: Bidding = Bidding.TRUTHFUL
    second: bool = False  # its second account takes part
    partners: int = 0  # rivals that do the same


ALONE = (
    Profile("truthful"),
    *(Profile(f"bids {x:g} v", round(BPS * x)) for x in MULTIPLIERS),
    Profile("jumps to its value", conduct=Bidding.JUMP),
    Profile("jumps to all its cash", conduct=Bidding.ALL_CASH),
    Profile("snipes", conduct=Bidding.SNIPE),
    Profile("shill account", conduct=Bidding.SHILL, second=True),
    Profile("does not reveal", conduct=Bidding.UNREVEALED),
)
TOGETHER = (
    Profile("truthful"),
    Profile("ring of two", conduct=Bidding.RING, partners=1),
    Profile("ring of all", conduct=Bidding.RING, partners=10**6),
)


def player(
    auction: str, rules: books.Rules, num_buyers: int, top: int
) -> Callable[[Profile, jax.Array, bool], games.AuctionGame]:
    """(profile, keys [K], whether others are random) -> `AuctionGame`, [K, ...].

    Values are uniform on 1 .. top - 1 and independent. Random others go to 0.5 .. 1.5 times their
    value and step, jump or snipe.
    """
    num = num_buyers + 1
    accounts = jnp.arange(num, dtype=jnp.int32)

    def one(
        key: Key, bid: jax.Array, conduct: jax.Array, partners: jax.Array, others: jax.Array
    ) -> games.AuctionGame:
        value_key, order_key, other_key, calm_key = jax.random.split(key, 4)
        values = jax.random.randint(value_key, (num,), 1, top)
        wild = jax.random.randint(other_key, (num,), BPS // 2, BPS + BPS // 2 + 1)
        calm = jax.random.choice(calm_key, jnp.asarray(CALM, jnp.int32), (num,))
        limits = jnp.where(others, wild, BPS).at[PLAYER].set(bid).at[SECOND].set(0)
        codes = jnp.where(others, calm, Bidding.TRUTHFUL)
        joined = (accounts >= FIRST_RIVAL) & (accounts < FIRST_RIVAL + partners)
        codes = jnp.where(joined, conduct[PLAYER], codes)
        codes = codes.at[PLAYER].set(conduct[PLAYER]).at[SECOND].set(conduct[SECOND])
        return games.auction_game(
            order_key, values, limits, codes, rules, auction=auction, num_blocks=NUM_BLOCKS
        )

    run = jax.jit(jax.vmap(one, (0, None, None, None, None)))

    def play(profile: Profile, keys: jax.Array, others: bool) -> games.AuctionGame:
        second = Bidding.SECOND if profile.second else Bidding.TRUTHFUL
        conduct = jnp.asarray([profile.conduct, second], jnp.int32)
        partners = min(profile.partners, num_buyers - 1)
        played: games.AuctionGame = jax.device_get(
            run(keys, profile.bid_bps, conduct, partners, jnp.bool(others))
        )
        return played

    return play


def earned(profile: Profile, played: games.AuctionGame) -> np.ndarray:
    """[K] utility of the player; of a ring, of its members on average."""
    utility = np.delete(np.asarray(played.utility, np.float64), SECOND, axis=1)
    return utility[:, : 1 + profile.partners].mean(1)


def audit_buyers(stage: Stage, hparams: HParams) -> None:
    """One buyer deviates, then rings of buyers, in each format; and the formats side by side."""
    audit, progress, settings = stage
    count, top = len(hparams.money.buyer_values), int(max(hparams.money.buyer_values))
    keys = keys_of(settings.votes, 1)

    def add(game: str, profiles: Sequence[Profile], play: Callable) -> None:
        if audit.has(game):
            return
        rows = {o: [earned(p, play(p, keys, o == "random")) for p in profiles] for o in OTHERS}
        names = [profile.label for profile in profiles]
        audit.add(game, names, {o: np.stack(row) for o, row in rows.items()})
        audit.keep()

    for auction, name in progress.track(GAMES.items(), description="bids"):
        rules = books.make_rules(**{**hparams.rules, **({"reserve": 1} if "first" in name else {})})
        play = player(auction, rules, count, top)
        add(f"buyer, {name}", ALONE, play)
        add(f"rings of buyers, {name}", TOGETHER, play)
    if audit.out:
        table = formats(books.make_rules(**hparams.rules), count, top, keys)
        table.to_csv(audit.out / "formats.csv", index=False)


def formats(rules: books.Rules, num_buyers: int, top: int, keys: jax.Array) -> pd.DataFrame:
    """Efficiency and revenue of every format when all bid as they should, against theory.

    Should: the value in the sealed second-price and the ascending auction, the share of it by
    `equilibrium_share` in the first-price auction.

    Args:
        rules: terms.
        num_buyers: in each auction.
        top: values are uniform on 1 .. top - 1.
        keys: [K].

    Returns:
        A row per format: share of worlds in which the highest value wins, of those in which it
        reaches the reserve; mean price with the half width of its 95 % interval; theory.
    """
    reserve = int(rules.reserve)
    values = np.asarray(jax.vmap(lambda key: jax.random.randint(key, (num_buyers,), 1, top))(keys))
    sells = values.max(1) >= reserve
    rows = []
    for auction, name in GAMES.items():
        shares = np.ones(values.shape)
        if auction == "first_price":
            shares = equilibrium_share(values, num_buyers, reserve)

        def one(
            key: Key, values: jax.Array, bids: jax.Array, auction: str = auction
        ) -> games.AuctionGame:
            honest = jnp.full(num_buyers, Bidding.TRUTHFUL, jnp.int32)
            return games.auction_game(
                key, values, bids, honest, rules, auction=auction, num_blocks=NUM_BLOCKS
            )

        bids = jnp.asarray(np.ceil(BPS * shares), jnp.int32)  # never below the reserve
        played = jax.device_get(jax.jit(jax.vmap(one))(keys, jnp.asarray(values, jnp.int32), bids))
        best = values[np.arange(len(values)), played.winner] == values.max(1)
        price = np.asarray(played.price, np.float64)
        rows.append(
            {
                "format": name,
                "efficiency": best[sells].mean(),
                "revenue": price.mean(),
                "margin": 1.96 * price.std(ddof=1) / np.sqrt(len(price)),
                "theory": expected_revenue(num_buyers, reserve, top),
            }
        )
    return pd.DataFrame(rows)
