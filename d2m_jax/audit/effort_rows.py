"""Does working less pay? Every way of it under every measure of work and every payment.

One seller deviates among honest ones, in the same worlds as when it works. What it earns less is
held against the work that it saves, at a price per example-gradient. Read first: `effort.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.stats import t as student

from d2m_jax import HParams, as_arrays, incentives, make_market
from d2m_jax import ledger as books
from d2m_jax.attacks.switched import switched_attack
from d2m_jax.audit.deviations import roles_of
from d2m_jax.audit.effort import Slack, ways_to_slack
from d2m_jax.audit.settings import Stage, keys_of
from d2m_jax.audit.strategies import HONEST
from d2m_jax.config.parsing import Config
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.incentives import CONTRIBUTIONS, PAYMENTS, Contribution, Evidence, PaymentView
from d2m_jax.incentives.effort import check_rate, gradient_price, price_that_deters
from d2m_jax.market.engine import Market, finish, init, market_of, rounds
from d2m_jax.market.world import load_world

MEASURES = ("gain", "leave_one_out", "fresh", "similarity", "unique")
CHECKED = 1e-3  # share of the updates that are recomputed, where they are
FILE = "effort.csv"


class Terms(NamedTuple):
    """What is played; no leaf may be batched."""

    way: jax.Array  # [] int32, place among the ways
    measure: jax.Array  # [] int32, place among the measures


class Worker(NamedTuple):
    """What the deviator had of a job."""

    pay: jax.Array  # [P] int32 units, under each payment
    rounds: jax.Array  # [] int32, in which it was drawn


def by_measure(names: Sequence[str], code: jax.Array) -> Contribution:
    """The measure of work that the code picks."""

    def chosen(evidence: Evidence) -> jax.Array:
        return jax.lax.switch(code, [lambda n=n: CONTRIBUTIONS[n](evidence) for n in names])

    return chosen


def by_payment(names: Sequence[str], code: jax.Array) -> Callable[..., jax.Array]:
    """The payment that the code picks."""

    def chosen(scores: jax.Array, *, view: PaymentView) -> jax.Array:
        ways = [lambda n=n: incentives.pay(n, scores, view) for n in names]
        return jax.lax.switch(code, ways)

    return chosen


def effort_game(
    market: Market, ways: Mapping[str, Slack], measures: Sequence[str], payments: Sequence[str]
) -> Callable[..., Worker]:
    """`(key, me, slacks, terms, hparams, data) -> Worker`: one market, settled by every payment.

    The training is the same for all payments and is done once.

    Args:
        market: whose attack, measure and payment are replaced.
        ways: see `ways_to_slack`.
        measures: names of `CONTRIBUTIONS`.
        payments: names of `PAYMENTS`.
    """
    spec, attacks = market.spec, [way.attack for way in ways.values()]

    def one(
        key: Key,
        me: jax.Array,
        slacks: jax.Array,
        terms: Terms,
        hparams: HParams,
        data: FederatedData,
    ) -> Worker:
        hparams = hparams.replace(attack={}, contribution={}, payment={})
        parts = market.parts._replace(
            attack=switched_attack(attacks, terms.way),
            contribution=by_measure(measures, terms.measure),
        )
        codes = jnp.where((jnp.arange(spec.num_sellers) == me) & slacks, 1, HONEST)
        roles = roles_of(codes, jnp.zeros(spec.num_nodes, jnp.int32))
        state = init(parts, key, hparams, data, roles=roles)

        def chunk(state: Any, _: None) -> tuple[Any, Any]:
            return rounds(parts, state, hparams, data)

        state, (info, seen) = jax.lax.scan(
            chunk, state, None, length=spec.num_rounds // spec.eval_every
        )
        info = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), info)

        def settled(code: jax.Array) -> jax.Array:
            paying = parts._replace(payment=by_payment(payments, code))
            outcome = finish(paying, state, hparams, data, info, seen)
            change = books.wealth(outcome.ledger) - books.wealth(outcome.opening)
            return change[market.layout.sellers][me]

        pay = jax.lax.map(settled, jnp.arange(len(payments), dtype=jnp.int32))
        return Worker(pay, state.drawn[me])

    return one


class Played(NamedTuple):
    """Of honest work or of one way, in K worlds."""

    pay: np.ndarray  # [P, K]
    rounds: np.ndarray  # [K]


def audit_effort(stage: Stage, config: Config, hparams: HParams) -> None:
    """One verdict per measure and payment, and the table `effort.csv` of every way."""
    audit, progress, settings = stage
    spec, payments = config.spec, list(PAYMENTS)
    dataset, data = load_world(config.data, spec.num_sellers, settings.data_dir)
    ways = ways_to_slack(spec.num_sellers, spec.batch_size, spec.local_steps)
    market = market_of(make_market(spec, dataset).parts)
    measures = settings.measures or list(MEASURES)
    game = effort_game(market, ways, measures, payments)
    run = jax.jit(jax.vmap(game, (0, 0, None, None, None, None)))
    numbers = as_arrays(hparams.replace(tolerated_f=1))
    keys = keys_of(settings.more_worlds, 40)
    me = jax.random.randint(jax.random.key(41), (len(keys),), 0, spec.num_sellers)

    def play(measure: int, way: int) -> Played:
        terms = Terms(jnp.int32(max(way, 0)), jnp.int32(measure))
        parts = []
        for start in range(0, len(keys), settings.batch):
            who = np.minimum(np.arange(start, start + settings.batch), len(keys) - 1)
            done = run(keys[who], me[who], jnp.bool(way >= 0), terms, numbers, data)
            parts.append(jax.device_get(done))
        pay, drawn = (np.concatenate(x)[: len(keys)] for x in zip(*parts))
        return Played(pay.T.astype(np.float64), drawn.astype(np.float64))

    price = gradient_price(settings.training_cost, spec.batch_size, spec.local_steps)
    gradients, deposit = spec.batch_size * spec.local_steps, float(hparams.rules["seller_deposit"])
    for measure, name in enumerate(progress.track(measures, description="effort")):
        if audit.has(game_of(name, payments[0])):
            continue
        honest = play(measure, -1)
        played = {way: play(measure, i) for i, way in enumerate(ways)}
        rows = list(effort_rows(name, payments, honest, played, ways, price, gradients, deposit))
        for i, payment in enumerate(payments):
            table = [honest.pay[i] - price * gradients * honest.rounds]
            for way, slack in ways.items():
                did = slack.work(played[way].rounds)
                table.append(played[way].pay[i] - price * gradients * did)
            audit.add(game_of(name, payment), ["honest", *ways], {"honest": np.stack(table)})
        if audit.out:
            path = audit.out / FILE
            kept = [pd.read_csv(path)] if path.exists() else []
            kept = [table[table["measure"] != name] for table in kept]
            pd.concat([*kept, pd.DataFrame(rows)]).to_csv(path, index=False, float_format="%.6g")
        audit.keep()


def game_of(measure: str, payment: str) -> str:
    """Name of a game of the audit."""
    return f"seller's effort, {measure}, {payment}"


def effort_rows(
    measure: str,
    payments: Sequence[str],
    honest: Played,
    played: Mapping[str, Played],
    ways: Mapping[str, Slack],
    price: float,
    gradients: int,
    deposit: float,
) -> Iterator[dict[str, Any]]:
    """A row per payment and way: what it earns, saves, gains, and what would deter it.

    Args:
        measure: name.
        payments: names.
        honest: work.
        played: of every way.
        ways: the same.
        price: units of an example-gradient.
        gradients: of an honest round.
        deposit: units, for the rate of checks.
    """
    worlds = honest.pay.shape[1]
    quantile = student.ppf(0.975, worlds - 1)
    for i, payment in enumerate(payments):
        for way, slack in ways.items():
            mine = played[way]
            did = slack.work(mine.rounds)
            saved = gradients * (honest.rounds - did)  # who is drawn less works less, too
            net = mine.pay[i] - honest.pay[i] + price * saved
            margin = quantile * net.std(ddof=1) / worlds**0.5
            word = "no" if net.mean() + margin < 0 else "yes" if net.mean() > margin else "?"
            pay, value = mine.pay[i].mean(), price * saved.mean()
            idle = mine.rounds - did if slack.is_seldom else mine.rounds  # rounds that are not own
            found = 1.0 - (1.0 - CHECKED) ** idle
            checked = net - found * (mine.pay[i] + deposit)
            rounds = max(idle.mean(), 1.0)
            yield {
                "measure": measure,
                "payment": payment,
                "way": way,
                "sees": slack.sees,
                "worlds": worlds,
                "honest income": honest.pay[i].mean(),
                "income": pay,
                "gradients saved": saved.mean(),
                "work saved": value,
                "net gain": net.mean(),
                "margin": margin,
                "pays": word,
                "deterred up to": price_that_deters(honest.pay[i].mean() - pay, saved.mean()),
                "check rate": check_rate(honest.pay[i].mean(), pay, value, deposit, rounds),
                "net gain, checked": checked.mean(),
                "margin, checked": quantile * checked.std(ddof=1) / worlds**0.5,
            }
