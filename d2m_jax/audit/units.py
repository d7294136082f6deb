"""Does an owner gain by more accounts, copies or fakes, where accounts sell and where units do?

One owner of every world holds what it has in another way; the income of all its accounts together
is set against what it earns with one honest account in the same world. Host side but for the market
itself. Read first: `market/units.py`, `market/openings.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import ledger as books
from d2m_jax import make_market
from d2m_jax.audit.settings import Stage
from d2m_jax.config.hparams import HParams
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.types import Batch, Key
from d2m_jax.data import Dataset, FederatedData, seller_rows
from d2m_jax.incentives import TRAINING_COST
from d2m_jax.market import Market, deal, load_dataset
from d2m_jax.market.units import Piece, leaves_of, listed, unit_size_of

MOST_ACCOUNTS = 4  # of one owner
Holdings = list[np.ndarray]  # rows of each account of one owner
# (rng, its rows in the order of their digests, T of the pool, size of a unit) -> rows of accounts
Hold = Callable[[np.random.Generator, np.ndarray, int, int], Holdings]


class Strategy(NamedTuple):
    """How an owner lists what it has."""

    hold: Hold
    adds: bool = False  # lists the accounts after the first later: they hold what it had before


def _split(accounts: int) -> Hold:
    def hold(rng: np.random.Generator, rows: np.ndarray, num: int, size: int) -> Holdings:
        del num, size
        return np.array_split(rng.permutation(rows), accounts)

    return hold


def _dealt(accounts: int) -> Hold:
    """No unit is broken: they are dealt to the accounts in turn."""

    def hold(rng: np.random.Generator, rows: np.ndarray, num: int, size: int) -> Holdings:
        del rng, num
        pieces = np.split(rows, range(size, len(rows), size))
        return [np.concatenate([rows[:0], *pieces[i::accounts]]) for i in range(accounts)]

    return hold


def _beside(kind: int) -> Hold:
    """A second account with an altered copy of every example; 0: the example itself."""
    return lambda rng, rows, num, size: [rows, rows + kind * num]


def _padded(rng: np.random.Generator, rows: np.ndarray, num: int, size: int) -> Holdings:
    """One account that says it has twice as much: as many foreign examples among its own."""
    del rng, size
    return [np.concatenate([rows, rows + FOREIGN * num])]


NOISE, CROP, RELABEL, MIX, FOREIGN = 1, 2, 3, 4, 5  # blocks of the pool after the real examples
HONEST = "one account"
STRATEGIES: dict[str, Strategy] = {
    HONEST: Strategy(_split(1)),
    "split in two along units": Strategy(_dealt(2)),
    "split in four along units": Strategy(_dealt(4)),
    "split in two at random": Strategy(_split(2)),
    "split in four at random": Strategy(_split(4)),
    "copies": Strategy(_beside(0), True),
    "copies with noise": Strategy(_beside(NOISE), True),
    "copies moved by a pixel": Strategy(_beside(CROP), True),
    "copies with other labels": Strategy(_beside(RELABEL), True),
    "mixtures of two": Strategy(_beside(MIX), True),
    "fakes beside": Strategy(_beside(FOREIGN), True),
    "fakes among": Strategy(_padded),
}


def altered(batch: Batch, seed: int = 0) -> Batch:
    """The examples, and after them five altered copies of all of them, [6 T, ...].

    Noise: a tenth of the range, normal. Crop: moved by a pixel in a random direction, what enters
    is empty (images; else as noise). Relabel: the next labels. Mix: the mean with the one before of
    the same class. Foreign: uniform in the range, with labels of others.

    Args:
        batch: {"inputs": [T, ...], "labels": [T] classes}.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    inputs, labels = (np.asarray(batch[name]) for name in ("inputs", "labels"))
    low, high, classes = inputs.min(), inputs.max(), int(labels.max()) + 1
    span = float(high) - float(low)

    def typed(values: np.ndarray) -> np.ndarray:
        whole = np.rint(values) if inputs.dtype.kind in "iu" else values
        return np.clip(whole, low, high).astype(inputs.dtype)

    noisy = typed(inputs + rng.normal(0, span / 10, inputs.shape))
    blocks = [
        inputs,
        noisy,
        _moved(rng, inputs) if inputs.ndim == 4 else noisy,
        inputs,
        typed((inputs.astype(np.float64) + inputs[_before(labels)]) / 2),
        typed(rng.uniform(low, high, inputs.shape)),
    ]
    names = [labels, labels, labels, (labels + 1) % classes, labels, rng.permutation(labels)]
    return {**batch, "inputs": np.concatenate(blocks), "labels": np.concatenate(names)}


def _before(labels: np.ndarray) -> np.ndarray:
    """[T] the place of another example of the same class (the last one's for the first)."""
    places = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        places[rows] = np.roll(rows, 1)
    return places


def _moved(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    """[T, H, W, C] each moved by one pixel up, down, left or right."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=images.min())
    height, width = images.shape[1:3]
    ways = [(0, 1), (2, 1), (1, 0), (1, 2)]
    moved = np.stack([padded[:, y : y + height, x : x + width] for y, x in ways])
    return moved[rng.integers(0, len(ways), len(images)), np.arange(len(images))]


class Worlds:
    """The same worlds for every strategy: partitions, keys, and which owner deviates.

    Args:
        dataset: with inputs and class labels.
        market: where accounts or units sell.
        data: how it is dealt; the seed of world k is k.
        count: K.
    """

    def __init__(self, dataset: Dataset, market: Market, data: DataSpec, count: int):
        self.market, self.num = market, dataset.num_train
        self.owners = market.spec.num_sellers - (0 if market.spec.unit_slots else MOST_ACCOUNTS - 1)
        specs = [data.__class__(**{**vars(data), "seed": k}) for k in range(count)]
        self.dealt = [deal(dataset, spec, self.owners, whole_pool=True) for spec in specs]
        self.pool = altered(dataset.train)
        self.digests = leaves_of(self.pool)
        self.size = [unit_size_of(d, market.spec.num_units, data.unit_size) for d in self.dealt]
        self.me = np.random.default_rng(count).integers(0, self.owners, count)
        self.keys = jax.random.split(jax.random.key(count), count)

    def held(self, k: int, strategy: Strategy) -> FederatedData:
        """The data of world k where its deviator holds them in this way; the pool is left out."""
        data, me = self.dealt[k], self.me[k]
        parts = seller_rows(data)
        mine = np.array(sorted(parts[me].tolist(), key=self.digests.__getitem__))
        own = strategy.hold(np.random.default_rng(k), mine, self.num, self.size[k])
        accounts = [(m, rows, 0) for m, rows in enumerate(parts) if m != me]
        names = [me, *range(self.owners, self.owners + len(own) - 1)]
        accounts += [(m, rows, int(strategy.adds and m != me)) for m, rows in zip(names, own)]
        as_units = bool(self.market.spec.unit_slots)
        return self._units(k, accounts) if as_units else self._accounts(data, accounts)

    def _units(self, k: int, accounts: Sequence[tuple[int, np.ndarray, int]]) -> FederatedData:
        size, pieces = self.size[k], []
        for owner, rows, when in accounts:
            order = np.array(sorted(rows.tolist(), key=self.digests.__getitem__))
            starts = range(0, len(order) - size + 1, size)
            pieces += [Piece(owner, order[i : i + size], when) for i in starts]
        data = self.dealt[k].replace(pool=())
        return listed(data, pieces, self.market.spec.num_units, self.digests)

    def _accounts(
        self, data: FederatedData, accounts: Sequence[tuple[int, np.ndarray, int]]
    ) -> FederatedData:
        num, room = self.market.spec.num_sellers, 2 * self.num  # places, the same in all worlds
        sizes, starts = np.zeros(num, np.int32), np.zeros(num, np.int32)
        flat, place = np.zeros(room, np.int32), 0
        for owner, rows, _ in accounts:
            sizes[owner], starts[owner] = len(rows), place
            flat[place : place + len(rows)] = rows
            place += len(rows)
        made = {"rows": flat, "starts": starts, "sizes": sizes, "pool": ()}
        held: FederatedData = data.replace(**made)
        return held

    def mine(self, k: int, data: FederatedData) -> np.ndarray:
        """[N] bool: listings of the deviator, all of its accounts."""
        units = data.units
        names = np.arange(data.sizes.shape[-1]) if units is None else np.asarray(units.owners)
        return (names == self.me[k]) | (names >= self.owners)


class Played(NamedTuple):
    """What one strategy came to in K worlds."""

    income: np.ndarray  # [K] of all accounts of the deviator, less the cost of their work
    listings: np.ndarray  # [K] accounts or units that it has
    caught: np.ndarray  # [K] of them that lost their deposit


def player(
    market: Market, pool: Batch, training_cost: float = TRAINING_COST
) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """(keys [K], data [K, ...], hparams) -> [K, N] income of every listing, and who was slashed.

    Args:
        market: where listings sell.
        pool: examples of all worlds.
        training_cost: units per round of a listing.
    """
    sellers = market.layout.sellers

    def one(key: Key, data: FederatedData, hparams: HParams, pool: Batch) -> Any:
        outcome = market.run(key, hparams, data.replace(pool=pool))
        change = books.wealth(outcome.ledger) - books.wealth(outcome.opening)
        cost = training_cost * _drawn(outcome.rounds.sellers, outcome.rounds.present, market)
        return change[sellers].astype(jnp.float32) - cost, outcome.closing.slashed

    run = jax.jit(jax.vmap(one, (0, 0, None, None)))
    return lambda keys, data, hparams: run(keys, data, hparams, pool)


def _drawn(sellers: jax.Array, present: jax.Array, market: Market) -> jax.Array:
    """[N] float32 rounds in which each listing was drawn."""
    num = market.spec.num_listings
    who = jnp.where(present, sellers, num).reshape(-1)
    return jnp.zeros(num, jnp.float32).at[who].add(1.0, mode="drop")


def play(
    worlds: Worlds,
    strategies: Sequence[str],
    hparams: HParams,
    batch: int = 16,
    training_cost: float = TRAINING_COST,
) -> dict[str, Played]:
    """What each of these strategies comes to.

    Args:
        worlds: K of them.
        strategies: names.
        hparams: from `market.numbers`.
        batch: worlds side by side.
        training_cost: units per round of a listing.
    """
    run, found = player(worlds.market, jax.device_put(worlds.pool), training_cost), {}
    count = len(worlds.me)
    batch = min(batch, count)
    for name in strategies:
        rows = []
        for start in range(0, count, batch):
            ks = np.minimum(np.arange(start, start + batch), count - 1)
            held = [worlds.held(k, STRATEGIES[name]) for k in ks]
            stacked = jax.tree.map(lambda *x: np.stack(x), *held)
            income, slashed = jax.device_get(run(worlds.keys[ks], stacked, hparams))
            for i, k in enumerate(ks[: count - start]):
                mine = worlds.mine(k, held[i]) & (np.asarray(held[i].sizes) > 0)
                rows.append((income[i][mine].sum(), mine.sum(), slashed[i][mine].sum()))
        found[name] = Played(*(np.array(column, np.float64) for column in zip(*rows)))
    return found


class Ratio(NamedTuple):
    """A ratio of means with its interval."""

    value: float
    low: float
    high: float


def ratio_of(mine: np.ndarray, honest: np.ndarray, confidence: float = 0.95) -> Ratio:
    """Mean(mine) / mean(honest) of paired payoffs, by Fieller's theorem with Student's t.

    The interval holds the r for which the mean of mine - r honest is not told from 0; unbounded
    where the mean of honest is not told from 0.

    Args:
        mine: [K].
        honest: [K], of the same worlds.
        confidence: of the interval.
    """
    from scipy.stats import t as student  # takes long to load

    num = len(mine)
    a, b = float(mine.mean()), float(honest.mean())
    cov = np.cov(mine, honest, ddof=1) / num
    cut = float(student.ppf(0.5 + confidence / 2, num - 1)) ** 2
    square = b * b - cut * cov[1, 1]
    if square <= 0:
        return Ratio(a / b if b else np.nan, -np.inf, np.inf)
    middle = a * b - cut * cov[0, 1]
    root = np.sqrt(max(middle**2 - square * (a * a - cut * cov[0, 0]), 0.0))
    return Ratio(a / b, float((middle - root) / square), float((middle + root) / square))


def audit_units(stage: Stage, config: Config, hparams: HParams) -> None:
    """One game of an audit: a seller that holds its data in every way that the settings name."""
    game = "seller of units, how it holds its data"
    if stage.audit.has(game):
        return
    spec, settings = config.spec, stage.settings
    dataset = load_dataset(config.data, settings.data_dir)
    market = make_market(spec, dataset)
    worlds = Worlds(dataset, market, config.data, settings.worlds)
    numbers = market.numbers(hparams.replace(tolerated_f=1))
    others = [name for name in dict.fromkeys(settings.strategies) if name != HONEST]
    played = play(worlds, [HONEST, *others], numbers, settings.batch, settings.training_cost)
    rows = np.stack([found.income for found in played.values()])
    stage.audit.add(game, ["honest", *others], {"honest": rows})
    stage.audit.keep()
