"""The whole market as pure functions; read this file first.

    init      who is who; everybody registers; buyers outbid each other; sellers are matched
    rounds    R times: sample, train, attack, aggregate; CONE votes; nodes are paid and slashed
    finish    CONE votes on the metric; disputes; settlement or refund
    run       all of it, one function for `jit`, `vmap` and `grad`

Static shapes and names come from a `Spec`; every number is an array in `HParams`. The rooms do the
work: `bidding.py`, `training.py`, `cone/`, `closing.py`, `ledger/`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import cone, incentives, privacy, sampling, tasks
from d2m_jax import ledger as books
from d2m_jax.attacks import ATTACKS, SCHEDULES, Attack, bind
from d2m_jax.attacks.market import claimed_sizes
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import lookup
from d2m_jax.core.types import Key, Number
from d2m_jax.data import FederatedData, normalize
from d2m_jax.ledger import Layout, Ledger, Phase, Rules, Verdict
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.auction import enrol, hold_auction
from d2m_jax.market.closing import close_job
from d2m_jax.market.defence import build_defence
from d2m_jax.market.roles import draw_roles
from d2m_jax.market.round import LearningState, RoundWork, train_round
from d2m_jax.market.server import is_finite, server_optimizer
from d2m_jax.market.state import JOB, Evaluation, MarketOutcome, MarketState, RoundInfo
from d2m_jax.market.validation import check_shapes
from d2m_jax.sellers import scaffold
from d2m_jax.tasks import Model


class Market(NamedTuple):
    """The pure functions of one market; none is jitted."""

    spec: Spec
    model: Model
    layout: Layout
    init: Callable[..., MarketState]  # (key, hparams, data, ledger=None)
    rounds: Callable[
        ..., tuple[MarketState, tuple[RoundInfo, Evaluation]]
    ]  # (state, hparams, data)
    finish: Callable[..., MarketOutcome]  # (state, hparams, data, rounds, evaluations)
    run: Callable[..., MarketOutcome]  # (key, hparams, data, ledger=None)
    step: Callable[..., tuple[MarketState, RoundInfo]]  # (state, hparams, data), one round
    # the parts of a round that need no vote, for who computes it again (`literal.py`)
    terms: Callable[[HParams], Rules]
    train: Callable[..., tuple[LearningState, RoundWork, jax.Array]]
    apply_result: Callable[..., LearningState]


def make_market(
    spec: Spec,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    attack: Attack | None = None,
    contribution: Callable[..., jax.Array] | None = None,
    defence: sampling.Defence | None = None,
) -> Market:
    """Builds the functions of a market; a user's own attack, measure or defence may be given.

    Args:
        spec: static shapes and names.
        input_shape: (H, W, Ch) of the images.
        num_classes: L.
        attack: instead of the one named by `spec.attack`.
        contribution: instead of the measure named by `spec.contribution`: `Evidence -> [S]` shares.
        defence: instead of `spec.sampler` and `spec.aggregator`.

    Raises:
        ValueError: an unknown name or an impossible shape; the sentence says which.
    """
    check_shapes(spec)
    model = tasks.make_model(spec.model, input_shape, num_classes)
    attack = attack or bind(lookup(ATTACKS, spec.attack, "attack"), **dict(spec.attack_options))
    schedule = lookup(SCHEDULES, spec.attack_schedule, "attack schedule")
    credit = contribution or lookup(incentives.CONTRIBUTIONS, spec.contribution, "contribution")
    layout = Layout(spec.num_buyers, spec.num_sellers, spec.num_nodes)
    own_defence = defence

    def init(
        key: Key, hparams: HParams, data: FederatedData, ledger: Ledger | None = None
    ) -> MarketState:
        """The world up to the first round.

        Args:
            key: of the run.
            hparams: numbers, typed by `as_arrays`.
            data: of all parties.
            ledger: of an earlier market, to go on with its balances, stakes and bans; by default a
                new one with the funds of `hparams.money`.
        """
        role_key, auction_key, model_key, run_key = jax.random.split(key, 4)
        rules, money = terms(hparams), hparams.money
        roles = draw_roles(role_key, hparams.population, spec.num_sellers, spec.num_nodes)
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
        tau_bps = jnp.round(hparams.tau * BPS).astype(jnp.int32)
        ledger, auction = hold_auction(
            auction_key, ledger, rules, layout, money, tau_bps, job=JOB, num_blocks=spec.num_blocks
        )
        ledger, _ = books.match(ledger, rules, actor=layout.treasury, job=JOB)

        theta = model.init(model_key)
        claimed = ledger.sizes.astype(jnp.float32)
        lam = claimed / jnp.maximum(claimed.sum(), 1.0)
        defence = own_defence or build_defence(spec, hparams)
        buffers = (spec.num_sellers, model.num_params) if spec.client_momentum != "none" else (0, 0)
        learning = LearningState(
            theta=theta,
            server=server_optimizer(spec.server_optimizer, hparams.learning).init(theta),
            previous=jnp.zeros_like(theta),
            momentum=jnp.zeros(buffers),
            controls=scaffold.init(spec.num_sellers, model.num_params) if spec.scaffold else (),
            defence=defence.init(spec.num_sellers, model.num_params, lam),
            attack=attack.init_state(model.num_params) if attack.init_state else (),
        )
        return MarketState(
            key=run_key,
            round=jnp.int32(0),
            learning=learning,
            ledger=ledger,
            roles=roles,
            scores=jnp.zeros(spec.num_sellers),
            wrong_round=jnp.int32(-1),
            wrong_nodes=jnp.zeros(spec.num_nodes, bool),
            auction=auction,
            opening=opening,
        )

    def terms(hparams: HParams) -> Rules:
        """The ledger's terms: every training round and the verification are paid work."""
        return books.make_rules(**{**hparams.rules, "num_rounds": spec.num_rounds + 1})

    def vote(key: Key, state: MarketState, hparams: HParams, rules: Rules) -> cone.Consensus:
        """CONE decides one unit of work of a matched job, among the nodes in good standing."""
        return cone.decide(
            key,
            state.roles.behaviour,
            books.eligible_nodes(state.ledger, rules) & state.ledger.jobs.matched[JOB].any(),
            hparams.cone,
            schedule=spec.set_schedule,
            stop_rule=spec.stop_rule,
            sortition=spec.sortition,
            rice=spec.rice,
            stake=state.ledger.stakes[layout.nodes],
        )

    def step(
        state: MarketState, hparams: HParams, data: FederatedData
    ) -> tuple[MarketState, RoundInfo]:
        """One round: the work, the vote on it, the model, the money."""
        cone_key = jax.random.split(state.key, 3)[1]
        rules = terms(hparams)
        account = state.ledger.jobs
        is_running, eligible = standing(state.ledger)
        learning, work, rate = train(state, hparams, data)
        consensus = vote(jax.random.fold_in(cone_key, state.round), state, hparams, rules)
        is_right = (consensus.accepted == 0) & is_running
        is_wrong = (consensus.accepted > 0) & is_running
        learning = apply_result(state.learning, learning, work, is_right, is_wrong, hparams, rate)
        shares = credited(state, work, learning, is_right, is_wrong)

        ledger, _ = books.settle_round(
            state.ledger, rules, actor=layout.treasury, job=JOB, outcomes=consensus.outcome
        )
        who = jnp.where(work.selection.present, work.selection.indices, spec.num_sellers)
        verdicts = jnp.where(work.info.accepted, Verdict.ACCEPTED, Verdict.FLAGGED)
        verdicts = jnp.zeros(spec.num_sellers, jnp.int32).at[who].set(verdicts, mode="drop")
        ledger, _ = books.rate_sellers(
            ledger,
            rules,
            actor=layout.treasury,
            job=JOB,
            verdicts=jnp.where(is_right, verdicts, Verdict.NOT_SAMPLED),
        )
        ledger, _ = books.advance(ledger, rules, blocks=2 * consensus.attempts)

        guilty = (consensus.outcome == books.Outcome.MATCHED) & is_wrong
        first = (state.wrong_round < 0) & is_wrong
        bad = state.roles.bad_seller
        mass = jnp.where(eligible, learning.defence.p, 0.0)
        mass = mass / jnp.maximum(mass.sum(), 1e-30)
        info = RoundInfo(
            round=state.round + 1,
            sellers=work.selection.indices,
            present=work.selection.present,
            valid=work.valid,
            accepted=work.info.accepted,
            flagged=work.info.flagged,
            credited=shares,
            sampling=mass,
            byzantine_mass=jnp.where(bad, mass, 0.0).sum(),
            byzantine_credit=jnp.where(bad, shares, 0.0).sum(),
            refused=work.refused,
            excluded=work.info.num_excluded,
            direction_norm=jnp.linalg.norm(work.direction),
            accepted_digest=consensus.accepted,
            attempts=consensus.attempts,
            executions=consensus.executions,
            latency=consensus.latency,
            nodes_paid=ledger.jobs.compute_paid[JOB] - account.compute_paid[JOB],
        )
        state = state._replace(
            round=state.round + 1,
            learning=learning,
            ledger=ledger,
            scores=state.scores + shares,
            wrong_round=jnp.where(first, state.round, state.wrong_round),
            wrong_nodes=state.wrong_nodes | guilty,
        )
        return state, info

    def standing(ledger: Ledger) -> tuple[jax.Array, jax.Array]:
        """Whether the job is in training, and the sellers [N] that may train for it."""
        phase = ledger.jobs.phase[JOB]
        is_running = (phase == Phase.MATCHED) | (phase == Phase.TRAINING)
        return is_running, ledger.jobs.matched[JOB] & ~ledger.banned[layout.sellers] & is_running

    def train(
        state: MarketState, hparams: HParams, data: FederatedData, attack: Attack = attack
    ) -> tuple[LearningState, RoundWork, jax.Array]:
        """The learning half of the next round, and the server's rate in it; nobody votes."""
        rate = hparams.learning.lr * decay(hparams.learning.lr_final, state.round)
        learning, work = train_round(
            jax.random.split(state.key, 3)[0],
            state.learning,
            hparams,
            data,
            state.roles,
            jnp.where(standing(state.ledger)[1], state.ledger.sizes, 0),
            state.round,
            rate,
            spec=spec,
            model=model,
            defence=own_defence or build_defence(spec, hparams),
            attack=attack,
            schedule=schedule,
        )
        return learning, work, rate

    def decay(final: Number, round_index: jax.Array) -> jax.Array:
        done = round_index / max(spec.num_rounds - 1, 1)
        return 1.0 - (1.0 - final) * done

    def apply_result(
        old: LearningState,
        new: LearningState,
        work: RoundWork,
        is_right: jax.Array,
        is_wrong: jax.Array,
        hparams: HParams,
        rate: jax.Array,
    ) -> LearningState:
        """The model after the vote: honest step, the adversary's step, or none."""
        spoilt = -hparams.conduct.spoil * work.direction
        direction = jnp.where(is_right, work.direction, spoilt)
        optimizer = server_optimizer(spec.server_optimizer, hparams.learning)
        change, memory = optimizer.update(direction, old.server)
        controls = old.controls
        if spec.scaffold:
            who, mine = work.selection.indices, work.own_updates
            controls = scaffold.advance(old.controls, who, mine, work.valid, direction)
        moved = is_right | is_wrong
        keep = jax.tree.map(lambda a, b: jnp.where(is_right, a, b), new.defence, old.defence)
        theta = old.theta - rate * change
        # A step that overflows, here or in the optimiser's memory, is not taken.
        moved = moved & jnp.isfinite(theta).all() & is_finite((memory, controls))
        after = theta, memory, controls, direction
        before = old.theta, old.server, old.controls, old.previous
        after = jax.tree.map(lambda a, b: jnp.where(moved, a, b), after, before)
        theta, memory, controls, previous = after
        theta = privacy.release(theta, "model")
        return new._replace(
            theta=theta, server=memory, controls=controls, previous=previous, defence=keep
        )

    def credited(
        state: MarketState,
        work: RoundWork,
        learning: LearningState,
        is_right: jax.Array,
        is_wrong: jax.Array,
    ) -> jax.Array:
        """[N] shares of the round: by contribution, or to the adversary's own sellers."""
        who, present = work.selection.indices, work.selection.present
        evidence = work.evidence._replace(mass=learning.defence.p[who])
        ours = jnp.where(is_right, credit(evidence), 0.0)
        byzantine = (state.roles.byzantine[who] & present).astype(jnp.float32)
        theirs = jnp.where(is_wrong, byzantine / jnp.maximum(byzantine.sum(), 1.0), 0.0)
        shares = privacy.release(jnp.where(present, ours + theirs, 0.0), "contributions")
        return jnp.zeros(spec.num_sellers).at[who].add(shares)

    def rounds(
        state: MarketState, hparams: HParams, data: FederatedData
    ) -> tuple[MarketState, tuple[RoundInfo, Evaluation]]:
        """The next `spec.eval_every` rounds and an evaluation after them."""

        def body(state: MarketState, _: None) -> tuple[MarketState, RoundInfo]:
            return step(state, hparams, data)

        state, info = jax.lax.scan(body, state, None, length=spec.eval_every)
        accuracy, loss = tasks.evaluate(
            model, state.learning.theta, data.test, lambda images: normalize(data, images)
        )
        return state, (info, Evaluation(state.round, accuracy, loss))

    def finish(
        state: MarketState,
        hparams: HParams,
        data: FederatedData,
        info: RoundInfo,
        evaluations: Evaluation,
    ) -> MarketOutcome:
        """Verification, disputes, settlement. `info` is [R, ...] and only passed on."""
        rules = terms(hparams)
        key = jax.random.split(state.key, 3)[2]
        metric, _ = tasks.evaluate(
            model, state.learning.theta, data.verdict, lambda images: normalize(data, images)
        )
        metric = privacy.release(metric, "metric")
        ledger, closing = close_job(
            key,
            state,
            hparams,
            rules,
            layout,
            metric,
            vote=vote,
            job=JOB,
            pay=lookup(incentives.PAYMENTS, spec.payment, "payment"),
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

    def run(
        key: Key, hparams: HParams, data: FederatedData, ledger: Ledger | None = None
    ) -> MarketOutcome:
        """A whole market episode; arguments as in `init`."""
        state = init(key, hparams, data, ledger)

        def chunk(state: MarketState, _: None) -> tuple[MarketState, tuple[RoundInfo, Evaluation]]:
            return rounds(state, hparams, data)

        state, (info, evaluations) = jax.lax.scan(
            chunk, state, None, length=spec.num_rounds // spec.eval_every
        )
        info = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), info)
        return finish(state, hparams, data, info, evaluations)

    return Market(spec, model, layout, init, rounds, finish, run, step, terms, train, apply_result)
