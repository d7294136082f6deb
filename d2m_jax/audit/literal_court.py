"""A round of a market disputed literally: real updates, real trees, two sides that halve.

The slow twin of `market/disputes.py::bisection`. `literal_work` is what a contract tries. Read
first: `literal.py`, `court/players.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from d2m_jax.audit.literal import deliverer
from d2m_jax.cone import Behaviour
from d2m_jax.config.hparams import HParams
from d2m_jax.core.choices import label
from d2m_jax.court import game
from d2m_jax.court.plans import SELLERS, JobWork, Sizes, job_work
from d2m_jax.court.players import Played, Player, play_case
from d2m_jax.court.rounds import fixed, model_of, round_work
from d2m_jax.court.steps import ONE, Run, Work, run
from d2m_jax.data import FederatedData
from d2m_jax.ledger import Verdict
from d2m_jax.market.apply import rate_of
from d2m_jax.market.engine import Market
from d2m_jax.market.state import MarketState

EXACT = {"mean", "trimmed_mean", "median"}  # coordinate by coordinate, in whole numbers


class LiteralDispute(NamedTuple):
    """How the case of a round ended."""

    played: Played
    honest: Run  # what who recomputes finds
    theta: np.ndarray | None  # [D] float32, model of the claim that won; None: nobody's

    @property
    def holds(self) -> bool:
        """Whether the truth won."""
        return self.played.result == self.honest.tree.leaves[-1]


def literal_dispute(market: Market) -> Callable[..., LiteralDispute]:
    """Returns `(state, hparams, data, watchers=1, terms=Terms()) -> LiteralDispute`, on the host.

    1. The sellers deliver as in `literal_round`; their updates become whole numbers.
    2. The first colluding node claims the model that `conduct.spoil` makes of the round, every lone
       liar one of its own; the first `watchers` honest nodes that are eligible recompute, and the
       first of them claims what it finds. Nobody else does.
    3. They play the case to its end with the hashes of the contract. Node i is account i + 1, for
       account 0 is nobody's.

    Args:
        market: with aggregator mean, trimmed_mean or median and the plain server's step.

    Raises:
        ValueError: a round of this market is not exact in whole numbers.
    """
    spec, parts = market.spec, market.parts
    if spec.aggregator not in EXACT or spec.server_optimizer != "sgd" or spec.pre_aggregators:
        raise ValueError(
            f"a round is exact in whole numbers with one of {', '.join(sorted(EXACT))} and sgd, "
            f"not with {label(spec.aggregator)} and {label(spec.server_optimizer)}"
        )
    deliver = deliverer(market)

    def play(
        state: MarketState,
        hparams: HParams,
        data: FederatedData,
        watchers: int = 1,
        terms: game.Terms | None = None,
    ) -> LiteralDispute:
        check(hparams)
        rows, _, pledges = (np.asarray(x) for x in deliver(state, hparams, data))
        nodes = pledges > 0
        used = rows[np.isfinite(rows).all(1)]
        trim = _trim(spec.aggregator, len(used), int(hparams.tolerated_f))
        rate = float(rate_of(parts, hparams, state.round))
        work = round_work(np.asarray(state.learning.theta), used, rate, trim)
        right, behaviour = run(work), np.asarray(state.roles.behaviour)
        liars = np.flatnonzero((behaviour == Behaviour.COLLUDE) & nodes)[:1].tolist()
        alone = np.flatnonzero((behaviour == Behaviour.LONE_LIAR) & nodes).tolist()
        fair = np.flatnonzero((behaviour == Behaviour.HONEST) & nodes)[:watchers].tolist()
        spoil = float(hparams.conduct.spoil)
        players = [Player(i + 1, _spoilt(work, right, spoil), honest=False) for i in liars]
        players += [Player(i + 1, run(work, {1: 1_000 + i}), honest=False) for i in alone]
        players += [Player(i + 1, right, claims=i == fair[0]) for i in fair]
        if not players:
            raise ValueError("there is nobody who claims anything")
        played = play_case(game.Court(terms or game.Terms()), work, players)
        won = {player.run.tree.leaves[-1]: player.run for player in players}.get(played.result)
        theta = None if won is None else model_of(won.memory.values, *used.shape)
        return LiteralDispute(played, right, theta)

    return play


class LiteralWork(NamedTuple):
    """A real round as the first unit of a job that a market's court can try."""

    job: JobWork  # the round, and a verification
    sizes: Sizes
    told: dict[int, int]  # what the steps for the pool write in the round


def literal_work(market: Market) -> Callable[..., LiteralWork]:
    """Returns `(state, hparams, data, num_sellers=N, num_examples=1) -> LiteralWork`, on the host.

    The sellers deliver as in `literal_dispute`; who has delivered is accepted. Whoever runs it
    (`court.plans.run_unit`) has the checkpoints of the round, and with them a content for the
    votes, and a claim before the court.

    Args:
        market: as for `literal_dispute`; its `num_sellers` first sellers have a word of their own.
    """
    spec, parts, deliver = market.spec, market.parts, deliverer(market)

    def prepare(
        state: MarketState,
        hparams: HParams,
        data: FederatedData,
        num_sellers: int | None = None,
        num_examples: int = 1,
    ) -> LiteralWork:
        check(hparams)
        rows, sellers, _ = (np.asarray(x) for x in deliver(state, hparams, data))
        delivered = np.isfinite(rows).all(1)
        used = rows[delivered]
        number = market.layout.num_sellers if num_sellers is None else num_sellers
        sizes = Sizes(number, used.shape[0], used.shape[1], num_examples)
        trim = _trim(spec.aggregator, len(used), int(hparams.tolerated_f))
        rate = round(float(rate_of(parts, hparams, state.round)) * ONE)
        job = job_work(sizes, fixed(np.asarray(state.learning.theta)), [rate], trim)
        told = dict(enumerate(fixed(used), sizes.updates))
        known = (int(seller) for seller in sellers[delivered])
        told |= {SELLERS + seller: Verdict.ACCEPTED for seller in known if seller < number}
        return LiteralWork(job, sizes, told)

    return prepare


def check(hparams: HParams) -> None:
    """Raises a ValueError for numbers with which a round is not the one of `round_work`."""
    if float(hparams.learning.momentum) != 0:
        raise ValueError("the server's momentum is not among the exact steps: set it to 0")
    if int(hparams.tolerated_f) < 0:
        raise ValueError("set tolerated_f: an expected number of bad rows is not exact")


def _trim(rule: str, num: int, tolerated: int) -> int:
    return {"mean": 0, "median": (num - 1) // 2}.get(rule, min(tolerated, (num - 1) // 2))


def _spoilt(work: Work, right: Run, spoil: float) -> Run:
    """What colluders claim: every parameter moved by -spoil times the honest step."""
    before, after = work.start, right.memory.values
    places = [step.into for step in work.program[1::2]]
    moved = [(before[at] - spoil * (after[at] - before[at])) / 2**16 for at in places]
    return run(work, dict(zip(range(1, len(work.program), 2), fixed(np.asarray(moved)))))
