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

from d2m_jax import cone, incentives, privacy, tasks
from d2m_jax import ledger as books
from d2m_jax.attacks.market import claimed_sizes
from d2m_jax.config.arrays import as_arrays
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Key
from d2m_jax.data import Dataset, FederatedData, check_num_classes
from d2m_jax.ledger import Layout, Ledger
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.apply import apply_result, rate_of
from d2m_jax.market.auction import enrol
from d2m_jax.market.booking import book_round, credit, describe_round, is_running, may_train
from d2m_jax.market.closing import close_job
from d2m_jax.market.keys import opening_keys, purpose_keys, round_keys, vote_key
from d2m_jax.market.parts import Parts, make_parts
from d2m_jax.market.roles import Roles, draw_roles
from d2m_jax.market.round import learn
from d2m_jax.market.scene import LearningState, Scene
from d2m_jax.market.server import server_optimizer
from d2m_jax.market.state import JOB, Evaluation, MarketOutcome, MarketState, RoundInfo
from d2m_jax.market.validation import check_concrete, check_market, check_numbers
from d2m_jax.market.variants import stages_of
from d2m_jax.sellers import scaffold
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
    if isinstance(what, Task):
        task = tasks.make_task(what, metric=spec.metric)
    else:
        task = tasks.make_task(spec.model, what, spec.metric)
    if isinstance(what, Dataset) and task.num_classes:
        check_num_classes(what, task.num_classes)
    check_market(spec, task)
    return market_of(make_parts(spec, task))


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
    keys, spec, layout, money = opening_keys(key), parts.spec, parts.layout, hparams.money
    rules = parts.rules(hparams)
    if roles is None:
        roles = draw_roles(keys.roles, hparams.population, spec.num_sellers, spec.num_nodes)
    if ledger is None:
        ledger = books.new_ledger(
            layout,
            buyer_funds=money.buyer_funds,
            seller_funds=money.seller_funds,
            node_funds=money.node_funds,
        )
    else:
        ledger, _ = books.reset_job(ledger, rules, actor=layout.treasury, job=JOB)
    opening = ledger
    sizes = claimed_sizes(data.sizes, roles.byzantine, hparams.conduct.size_lie_bps)
    ledger = enrol(ledger, rules, layout, money, roles, sizes)
    ledger, auction = parts.auction(
        keys.auction,
        ledger,
        rules,
        layout,
        money,
        jnp.round(hparams.tau * BPS).astype(jnp.int32),
        job=JOB,
        num_blocks=spec.num_blocks,
        **hparams.auction,
    )
    ledger, _ = books.match(ledger, rules, actor=layout.treasury, job=JOB)
    learning = begin_learning(parts, keys.model, hparams, ledger)
    base, _ = tasks.evaluate(parts.model, learning.theta, data.verdict, data.stats)
    state = MarketState(
        key=keys.run,
        round=jnp.int32(0),
        learning=learning,
        base_metric=privacy.release(base, "metric"),
        ledger=ledger,
        roles=roles,
        scores=jnp.zeros(spec.num_sellers, jnp.float32),
        drawn=jnp.zeros(spec.num_sellers, jnp.int32),
        accepted=jnp.zeros(spec.num_sellers, jnp.int32),
        wrong_round=jnp.int32(-1),
        wrong_nodes=jnp.zeros(spec.num_nodes, bool),
        auction=auction,
        opening=opening,
    )
    return varying_as(state, key, hparams, data)


def begin_learning(parts: Parts, key: Key, hparams: HParams, ledger: Ledger) -> LearningState:
    """A fresh model, and empty memories."""
    spec, model = parts.spec, parts.model
    theta = model.init(key)
    claimed = ledger.sizes.astype(jnp.float32)
    lam = claimed / jnp.maximum(claimed.sum(), 1.0)
    all_sellers = spec.num_sellers, model.num_params
    attack = parts.attack
    return LearningState(
        theta=theta,
        server=server_optimizer(spec.server_optimizer, hparams.learning).init(theta),
        previous=jnp.zeros_like(theta),
        momentum=jnp.zeros(all_sellers, theta.dtype) if parts.momentum else (),
        controls=scaffold.init(*all_sellers, theta.dtype) if spec.scaffold else (),
        defence=parts.defence(hparams).init(*all_sellers, lam),
        attack=attack.init_state(model.num_params) if attack.init_state else (),
    )


def scene_of(parts: Parts, state: MarketState, hparams: HParams, data: FederatedData) -> Scene:
    """What the stages of the next round look at."""
    return Scene(
        keys=round_keys(state.key, state.round, parts.spec.num_sellers),
        state=state.learning,
        hparams=hparams,
        data=data,
        roles=state.roles,
        sizes=jnp.where(may_train(state.ledger), state.ledger.sizes, 0),
        round=state.round,
        rate=rate_of(parts, hparams, state.round),
    )


def vote(parts: Parts, key: Key, state: MarketState, hparams: HParams) -> cone.Consensus:
    """CONE decides one unit of work of a matched job, among the nodes in good standing."""
    ledger, rules = state.ledger, parts.rules(hparams)
    return parts.vote(hparams)(
        key,
        state.roles.behaviour,
        books.eligible_nodes(ledger, rules) & ledger.jobs.matched[JOB].any(),
        hparams.cone,
        stake=ledger.stakes[parts.layout.nodes],
    )


def step(
    parts: Parts, state: MarketState, hparams: HParams, data: FederatedData
) -> tuple[MarketState, RoundInfo]:
    """One round: the work, the vote on it, the model, the money."""
    scene = scene_of(parts, state, hparams, data)
    learning, work = learn(parts, stages_of(parts), scene)
    consensus = vote(parts, vote_key(state.key, state.round), state, hparams)
    running = is_running(state.ledger)
    is_right = (consensus.accepted == 0) & running
    is_wrong = (consensus.accepted > 0) & running
    verdict = is_right, is_wrong
    learning = apply_result(parts, scene.state, learning, work, *verdict, hparams, scene.rate)
    shares = credit(parts, state, hparams, work, learning, *verdict)
    ledger = book_round(state.ledger, parts.rules(hparams), work, consensus, is_right)
    info = describe_round(state, ledger, work, learning, consensus, shares)
    guilty = (consensus.outcome == books.Outcome.MATCHED) & is_wrong
    first = (state.wrong_round < 0) & is_wrong
    who = work.selection.indices
    state = state._replace(
        round=state.round + 1,
        learning=learning,
        ledger=ledger,
        scores=state.scores + shares,
        drawn=state.drawn.at[who].add(work.selection.present.astype(jnp.int32)),
        accepted=state.accepted.at[who].add((work.info.accepted & is_right).astype(jnp.int32)),
        wrong_round=jnp.where(first, state.round, state.wrong_round),
        wrong_nodes=state.wrong_nodes | guilty,
    )
    return state, info


def rounds(
    parts: Parts, state: MarketState, hparams: HParams, data: FederatedData
) -> tuple[MarketState, tuple[RoundInfo, Evaluation]]:
    """The next `spec.eval_every` rounds and an evaluation after them."""

    def body(state: MarketState, _: None) -> tuple[MarketState, RoundInfo]:
        return step(parts, state, hparams, data)

    state, info = jax.lax.scan(body, state, None, length=parts.spec.eval_every)
    metric, loss = tasks.evaluate(parts.model, state.learning.theta, data.test, data.stats)
    return state, (info, Evaluation(state.round, metric, loss))


def finish(
    parts: Parts,
    state: MarketState,
    hparams: HParams,
    data: FederatedData,
    info: RoundInfo,
    evaluations: Evaluation,
) -> MarketOutcome:
    """Verification, disputes, settlement. `info` is [R, ...] and only passed on."""
    metric, _ = tasks.evaluate(parts.model, state.learning.theta, data.verdict, data.stats)
    ledger, closing = close_job(
        purpose_keys(state.key).closing,
        state,
        hparams,
        parts.rules(hparams),
        privacy.release(metric, "metric"),
        vote=partial(vote, parts),
        job=JOB,
        pay=partial(pay, parts, state, hparams),
    )
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
