"""The whole market as pure functions; read this file first.

    init      who is who; everybody registers; buyers bid; sellers are matched
    rounds    R times: sample, train, attack, aggregate; CONE votes; nodes are paid and slashed
    finish    CONE votes on the metric; disputes; settlement or refund
    run       all of it, one function for `jit`, `vmap` and `grad`

Static shapes and choices come from a `Spec`; every number is an array in `HParams`. What is learnt
is a `Task`. The mechanisms are in `parts.py`, the stages of a round in `round.py` and
`variants.py`, what is booked in `booking.py` and `closing.py`.
"""

from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax import incentives, privacy, tasks
from d2m_jax import ledger as books
from d2m_jax.config.arrays import as_arrays
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Key
from d2m_jax.data import Dataset, FederatedData, check_num_classes
from d2m_jax.ledger import Layout, Ledger
from d2m_jax.market.auction import enrol
from d2m_jax.market.backdoors import attack_success
from d2m_jax.market.closing import close_job, settle_or_refund
from d2m_jax.market.given import check_given
from d2m_jax.market.jobs import each_job, has_own_data, in_turn, of_each, own_part, with_shared
from d2m_jax.market.keys import job_keys, opening_keys, openings_key, purpose_keys
from d2m_jax.market.opening import begin_job, claims_of, examine_units, first_ledger, sell
from d2m_jax.market.parts import Parts, make_parts
from d2m_jax.market.requests import asked_tags
from d2m_jax.market.roles import ANYBODY, Roles, draw_roles, of_units
from d2m_jax.market.state import (
    Closing,
    Evaluation,
    MarketOutcome,
    MarketState,
    RoundInfo,
    Slot,
)
from d2m_jax.market.step import step, vote
from d2m_jax.market.validation import check_concrete, check_market, check_numbers
from d2m_jax.tasks import Model, Problem, Task


class Init(Protocol):
    """`(key, hparams, data, ledger=None, roles=None) -> MarketState`."""

    def __call__(
        self,
        key: Key,
        hparams: HParams,
        data: FederatedData,
        ledger: Ledger | None = None,
        roles: Roles | None = None,
    ) -> MarketState:
        """The world up to the first round; see `init`."""


class Step(Protocol):
    """`(state, hparams, data) -> (state, RoundInfo)`."""

    def __call__(
        self, state: MarketState, hparams: HParams, data: FederatedData
    ) -> tuple[MarketState, RoundInfo]:
        """One round; see `step`."""


class Rounds(Protocol):
    """`(state, hparams, data) -> (state, (RoundInfo, Evaluation))`."""

    def __call__(
        self, state: MarketState, hparams: HParams, data: FederatedData
    ) -> tuple[MarketState, tuple[RoundInfo, Evaluation]]:
        """The rounds up to the next evaluation; see `rounds`."""


class Finish(Protocol):
    """`(state, hparams, data, rounds, evaluations) -> MarketOutcome`."""

    def __call__(
        self,
        state: MarketState,
        hparams: HParams,
        data: FederatedData,
        info: RoundInfo,
        evaluations: Evaluation,
    ) -> MarketOutcome:
        """Verification, disputes, settlement; see `finish`."""


class Run(Protocol):
    """`(key, hparams, data, ledger=None, roles=None) -> MarketOutcome`."""

    def __call__(
        self,
        key: Key,
        hparams: HParams,
        data: FederatedData,
        ledger: Ledger | None = None,
        roles: Roles | None = None,
    ) -> MarketOutcome:
        """A whole market episode; see `run`."""


class Numbers(Protocol):
    """`HParams -> HParams`, checked against the spec and typed."""

    def __call__(self, hparams: HParams) -> HParams:
        """Arrays."""


class Market(NamedTuple):
    """The pure functions of one market; none is jitted."""

    parts: Parts
    init: Init
    step: Step
    rounds: Rounds
    finish: Finish
    run: Run
    numbers: Numbers

    @property
    def spec(self) -> Spec:
        """Static shapes and choices."""
        return self.parts.spec

    @property
    def model(self) -> Model:
        """The task over flat parameters."""
        return self.parts.model

    @property
    def layout(self) -> Layout:
        """Accounts of the ledger."""
        return self.parts.layout


def make_market(spec: Spec, what: Dataset | Problem | Task | None = None) -> Market:
    """Builds the functions of a market.

    Args:
        spec: static shapes, and the parts by name or of the user's own.
        what: what is learnt: a `Task`, or the data set (or its `Problem`) that `spec.model` is to
            fit. Not needed when `spec.model` is a `Task`.

    Raises:
        ValueError: an unknown name, an impossible shape or parts that do not go together; the
            sentence says which.
    """
    if not (what is None or isinstance(what, Dataset | Problem | Task)):
        raise ValueError(
            f"make_market takes a data set, its Problem or a Task, not {type(what).__name__}: "
            "data.load(name) gives the data set of a name"
        )
    if isinstance(what, Task):
        task = tasks.make_task(what, metric=spec.metric)
    else:
        task = tasks.make_task(spec.model, what, spec.metric)
    if isinstance(what, Dataset) and task.num_classes:
        check_num_classes(what, task.num_classes)
    check_market(spec, task)
    parts = make_parts(spec, task)
    if isinstance(what, Dataset):
        tasks.check_examples(parts.model, what.train, what.stats)
    return market_of(parts)


def market_of(parts: Parts) -> Market:
    """The functions of a market made of these parts."""
    return Market(
        parts=parts,
        init=partial(init, parts),
        step=partial(step, parts),
        rounds=partial(rounds, parts),
        finish=partial(finish, parts),
        run=partial(run, parts),
        numbers=partial(numbers, parts),
    )


def numbers(parts: Parts, hparams: HParams) -> HParams:
    """The numbers of a market, checked against its spec and typed: what all functions take.

    Raises:
        ValueError: the first number that makes no sense, as one sentence.
    """
    check_numbers(parts.spec, hparams)
    return as_arrays(hparams)


def init(
    parts: Parts,
    key: Key,
    hparams: HParams,
    data: FederatedData,
    ledger: Ledger | None = None,
    roles: Roles | None = None,
) -> MarketState:
    """The world up to the first round.

    Args:
        parts: of the market.
        key: of the run.
        hparams: from `market.numbers` or `as_arrays`.
        data: of all parties.
        ledger: of an earlier market, to go on with its balances, stakes and bans; by default a new
            one with the funds of `hparams.money`.
        roles: who misbehaves, for instance of that earlier market; by default drawn as
            `hparams.population` says.
    """
    check_concrete(parts.spec, hparams)
    check_given(parts, key, data)
    keys, spec, layout, money = opening_keys(key), parts.spec, parts.layout, hparams.money
    rules, each = parts.rules(hparams), partial(in_turn, spec.num_jobs)
    if roles is None:
        roles = draw_roles(keys.roles, hparams.population, spec, asked_tags(spec, hparams))
        roles = roles if data.units is None else of_units(roles, data.units.owners)
    if ledger is None:
        ledger = first_ledger(layout, money)
    else:

        def clear(job: Slot, ledger: Ledger) -> tuple[Ledger, jax.Array]:
            return books.reset_job(ledger, rules, actor=ANYBODY, job=job)

        ledger, _ = each(clear, ledger)
    opening = ledger
    held = data.sizes.max(axis=0) if has_own_data(data) else data.sizes
    sizes, commitments = claims_of(data, held, roles, hparams)
    ledger = enrol(ledger, rules, layout, money, roles, sizes, commitments)
    ledger, auction = sell(parts, keys.auction, ledger, hparams)
    begin = partial(begin_job, parts, hparams, ledger)
    mine = job_keys(spec.num_jobs, keys)
    learning, base = each_job(spec.num_jobs, begin, None, data, mine.model)
    same = partial(of_each, spec.num_jobs)
    nobody = same(jnp.zeros(spec.num_listings, jnp.int32))
    state = MarketState(
        key=mine.run,
        round=jnp.int32(0),
        learning=learning,
        base_metric=base,
        ledger=ledger,
        roles=roles,
        scores=same(jnp.zeros(spec.num_listings, jnp.float32)),
        drawn=nobody,
        accepted=nobody,
        auction=auction,
        opening=opening,
        shown=examine_units(parts, openings_key(keys), hparams, data),
    )
    return varying_as(state, key, hparams, data)


def rounds(
    parts: Parts, state: MarketState, hparams: HParams, data: FederatedData
) -> tuple[MarketState, tuple[RoundInfo, Evaluation]]:
    """The next `spec.eval_every` rounds and an evaluation after them."""

    def body(state: MarketState, _: None) -> tuple[MarketState, RoundInfo]:
        return step(parts, state, hparams, data)

    def examine(job: Slot, state: MarketState, data: FederatedData) -> Evaluation:
        del job
        metric, loss = tasks.evaluate(parts.model, state.learning.theta, data.test, data.stats)
        return Evaluation(state.round, metric, loss)

    state, info = jax.lax.scan(body, state, None, length=parts.spec.eval_every)
    return state, (info, each_job(parts.spec.num_jobs, examine, state, data))


def finish(
    parts: Parts,
    state: MarketState,
    hparams: HParams,
    data: FederatedData,
    info: RoundInfo,
    evaluations: Evaluation,
    hears: bool = True,
) -> MarketOutcome:
    """Verification, disputes, settlement. `info` is [R, ...] and only passed on.

    Without `hears`, static, nobody is heard: the outcome counts if it says that nothing was
    `closing.disputed`, and there is a dispute by name.
    """
    num_jobs, rules = parts.spec.num_jobs, parts.rules(hparams)

    def examine(job: Slot, state: MarketState, data: FederatedData) -> jax.Array:
        del job
        metric, _ = tasks.evaluate(parts.model, state.learning.theta, data.verdict, data.stats)
        return privacy.release(metric, "metric")

    def close(
        job: Slot, ledger: Ledger, mine: MarketState, metric: jax.Array
    ) -> tuple[Ledger, Closing]:
        here = with_shared(mine, state, ledger)
        return close_job(
            purpose_keys(here.key).closing,
            here,
            hparams,
            rules,
            metric,
            vote=partial(vote, parts, job),
            job=job,
            pay=partial(pay, parts, here, hparams),
            dispute=parts.dispute(hparams) if hears else None,
        )

    def succeed(job: Slot, state: MarketState, data: FederatedData) -> jax.Array:
        del job
        return attack_success(parts, state.learning.theta, hparams, data)

    metric = each_job(num_jobs, examine, state, data)
    ledger, closing = in_turn(num_jobs, close, state.ledger, own_part(num_jobs, state), metric)
    ledger = settle_or_refund(ledger, rules, partial(in_turn, num_jobs))
    return MarketOutcome(
        theta=state.learning.theta,
        ledger=ledger,
        opening=state.opening,
        roles=state.roles,
        auction=state.auction,
        closing=closing,
        scores=state.scores,
        defence=state.learning.defence,
        rounds=info,
        evaluations=evaluations,
        attack_success=each_job(num_jobs, succeed, state, data),
        found_out=state.shown.found_out if state.shown else (),
    )


def pay(parts: Parts, state: MarketState, hparams: HParams, scores: jax.Array) -> jax.Array:
    """[N] int32 weights by which the pool of a job is split."""
    view = incentives.PaymentView(scores, state.ledger.sizes, state.accepted, state.drawn)
    return incentives.pay(parts.payment, scores, view, **hparams.payment)


def run(
    parts: Parts,
    key: Key,
    hparams: HParams,
    data: FederatedData,
    ledger: Ledger | None = None,
    roles: Roles | None = None,
) -> MarketOutcome:
    """A whole market episode; arguments as in `init`."""
    state = init(parts, key, hparams, data, ledger, roles)

    def chunk(state: MarketState, _: None) -> tuple[MarketState, tuple[RoundInfo, Evaluation]]:
        return rounds(parts, state, hparams, data)

    num_chunks = parts.spec.num_rounds // parts.spec.eval_every
    state, (info, evaluations) = jax.lax.scan(chunk, state, None, length=num_chunks)
    info = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), info)
    return finish(parts, state, hparams, data, info, evaluations)
