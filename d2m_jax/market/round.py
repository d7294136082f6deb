"""The learning half of a round: sample, train, attack, refuse bad values, aggregate.

Pure functions of one round. Not here: votes and money (`market.py`).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import privacy, sellers, tasks
from d2m_jax.attacks import Attack, AttackContext, Schedule
from d2m_jax.attacks.data import off_topic
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.types import Key, Number, PyTree
from d2m_jax.data import FederatedData, normalize
from d2m_jax.incentives import Evidence
from d2m_jax.market.roles import Roles
from d2m_jax.sampling import Context, Defence, DefenceInfo, DefenceState, Selection
from d2m_jax.tasks import Model


class LearningState(NamedTuple):
    """What the next round of training needs."""

    theta: jax.Array  # [D] float32, the model
    server: PyTree  # memory of the server's optimiser, [D] float32 momentum with sgd
    previous: jax.Array  # [D] float32, last accepted direction, which free-riders replay
    momentum: jax.Array  # [N, D] float32, client momentum, or [0, 0] without it
    controls: PyTree  # sellers.ScaffoldState, or () without it
    defence: DefenceState
    attack: PyTree  # memory of the attack


class RoundWork(NamedTuple):
    """What the sellers and the defence did in one round, before CONE votes on it."""

    selection: Selection
    own_updates: jax.Array  # [S, D] float32, what the sellers computed; it stays with them
    direction: jax.Array  # [D] float32, the honest aggregate
    valid: jax.Array  # [S] bool, delivered and neither non-finite nor too long
    refused: jax.Array  # [] int32, delivered but non-finite or too long
    info: DefenceInfo
    evidence: Evidence  # what the work of each seller was worth is read off this


def validation_losses(
    model: Model, theta: jax.Array, lr: jax.Array, data: FederatedData
) -> tuple[Any, Any] | tuple[None, None]:
    """The two things that may be asked of the buyer's correction examples, as callables.

    Returns:
        `losses_of(updates [C, D]) -> [C]`, the loss after each candidate step, and
        `gradient(update [D] = 0) -> [D]`, its gradient in the model after one; a pair of None when
        the buyer gave no examples.
    """
    labels = data.correction.labels
    if labels.shape[0] == 0:
        return None, None
    images = normalize(data, data.correction.images)

    def losses_of(updates: jax.Array) -> jax.Array:
        return tasks.losses_of_candidates(model, theta, updates, lr, images, labels)

    def gradient(update: jax.Array | None = None) -> jax.Array:
        there = theta if update is None else theta - lr * update
        return jax.grad(model.loss)(there, images, labels)

    return losses_of, gradient


def refuse_bad_values(updates: jax.Array, max_norm: Number) -> tuple[jax.Array, jax.Array]:
    """Zeroes updates that are not finite or longer than `max_norm`, before any rule sees them.

    Args:
        updates: [S, D] float32, anything.
        max_norm: [] float32, at most 1e18, so that no square of an accepted entry overflows.

    Returns:
        [S, D] finite updates and the [S] bool of rows that were good.
    """
    good = jnp.linalg.norm(updates, axis=1) <= max_norm  # False for NaN, inf and overflow to inf
    return jnp.where(good[:, None], updates, 0.0), good


def _off_topic(
    key: Key, is_liar: jax.Array, images: jax.Array, labels: jax.Array, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """The batch of a seller that lied about its tags: data of another domain."""
    other = off_topic(key, images, labels, num_classes)
    return jax.tree.map(lambda new, old: jnp.where(is_liar, new, old), other, (images, labels))


def _train(
    key: Key,
    theta: jax.Array,
    who: jax.Array,
    steps: jax.Array,
    controls: jax.Array | None,
    tamper: sellers.Tamper,
    hparams: HParams,
    data: FederatedData,
    spec: Spec,
    model: Model,
    parts: jax.Array | None = None,
) -> jax.Array:
    """What the sampled sellers compute, [S, D], with differential privacy if it is asked for.

    With `parts` [S, D] bool each sees and trains its part of the model; the rest is zero.
    """
    learning, private = hparams.learning, hparams.privacy
    if parts is not None:

        def alone(seller: jax.Array, steps: jax.Array, part: jax.Array) -> jax.Array:
            seen, one = jnp.where(part, theta, 0.0), (seller[None], steps[None])
            return _train(key, seen, *one, None, tamper, hparams, data, spec, model)[0]

        return jnp.where(parts, jax.vmap(alone)(who, steps, parts), 0.0)
    if spec.privacy == "example":
        return privacy.private_sellers(
            model.gradient,
            key,
            theta,
            data,
            who,
            normalize=lambda images: normalize(data, images),
            batch_size=spec.batch_size,
            clip=private.clip,
            noise=private.noise,
            tamper=tamper,
        )
    updates = sellers.train_sellers(
        model,
        key,
        theta,
        data,
        who,
        normalize=lambda images: normalize(data, images),
        batch_size=spec.batch_size,
        local_steps=spec.local_steps,
        lr_local=learning.lr_local,
        mu=learning.proximal,
        weight_decay=learning.weight_decay,
        controls=controls,
        steps=steps,
        tamper=tamper,
    )
    if spec.privacy == "update":
        noise_key = jax.random.fold_in(key, spec.num_sellers)  # no seller's own
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(noise_key, who)
        updates = jax.vmap(privacy.private_update, in_axes=(0, 0, None, None))(
            keys, updates, private.clip, private.noise
        )
    return updates


def train_round(
    key: Key,
    state: LearningState,
    hparams: HParams,
    data: FederatedData,
    roles: Roles,
    sizes: jax.Array,
    round_index: jax.Array,
    lr: jax.Array,
    *,
    spec: Spec,
    model: Model,
    defence: Defence,
    attack: Attack,
    schedule: Schedule,
) -> tuple[LearningState, RoundWork]:
    """One round of sampling, local training, attack and aggregation.

    Args:
        key: of the whole run; the round is folded in here.
        state: before the round; `theta` is only read.
        hparams: numbers.
        data: of all parties.
        roles: who misbehaves.
        sizes: [N] int32, examples that the sellers claim; 0 for those that may not train.
        round_index: [] int32.
        lr: [] float32, the server's rate in this round.
        spec: static shapes and names.
        model: the network.
        defence: sampler and aggregate.
        attack: what Byzantine sellers do.
        schedule: in which rounds they do it.

    Returns:
        The state with momentum, defence and attack memory advanced, and the work that CONE votes
        on.
    """
    schedule_key, run_key = jax.random.split(key)
    round_key = jax.random.fold_in(run_key, round_index)
    sample_key, part_key, train_key, attack_key, rule_key = jax.random.split(round_key, 5)
    learning = hparams.learning
    params = hparams.defence._replace(horizon=float(spec.num_rounds))
    selection = defence.sample(sample_key, state.defence, sizes > 0, params)
    who = selection.indices
    active = schedule.active(schedule_key, round_index, roles.byzantine, **hparams.schedule)
    byzantine = active[who] & selection.present

    part = sellers.participation(
        part_key,
        who,
        local_steps=spec.local_steps,
        drop_out=learning.drop_out,
        straggle=learning.straggle,
    )

    def tamper(
        key: Key, seller: jax.Array, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        batch = _off_topic(key, roles.tag_liar[seller], images, labels, model.num_classes)
        if attack.poison is None:
            return batch
        bad = attack.poison(key, *batch, model.num_classes, seller=seller, **hparams.attack)
        return jax.tree.map(lambda new, old: jnp.where(active[seller], new, old), bad, batch)

    controls = sellers.scaffold.controls(state.controls, who) if spec.scaffold else None
    parts = None
    if spec.partial:
        inputs = math.prod(model.input_shape)
        groups = privacy.dense_groups(inputs, model.num_classes, model.num_params)
        parts_key = jax.random.fold_in(part_key, spec.num_sellers)  # no seller's own
        parts = privacy.draw_parts(parts_key, spec.num_sampled, *groups, hparams.privacy.density)
    updates = _train(
        train_key, state.theta, who, part.steps, controls, tamper, hparams, data, spec, model, parts
    )
    own_updates = updates
    momentum = state.momentum
    if spec.client_momentum != "none":
        average = sellers.MOMENTA[spec.client_momentum]
        momentum, updates = average(momentum, who, updates, learning.client_momentum)

    # Who delivers nothing is not there: absence is no evidence against anybody.
    present = selection.present & part.present
    selection = selection._replace(present=present)
    eligible = sizes > 0
    bad = spec.num_sampled * (roles.bad_seller & eligible).sum(dtype=jnp.int32)
    expected = -(-bad // jnp.maximum(eligible.sum(dtype=jnp.int32), 1))
    tolerated = jnp.where(hparams.tolerated_f < 0, expected, hparams.tolerated_f)
    losses_of, gradient = validation_losses(model, state.theta, lr, data)

    def root_update() -> jax.Array:
        images = normalize(data, data.root.images)
        return jax.grad(model.loss)(state.theta, images, data.root.labels)

    lam = sizes.astype(jnp.float32)
    context = Context(
        lam=lam / jnp.maximum(lam.sum(), 1.0),
        lr=lr,
        round=round_index,
        f=tolerated,
        losses_of=losses_of,
        grad_of_validation=gradient,
        root_update=root_update if data.root.labels.shape[0] else None,
    )

    def aggregate(
        updates: jax.Array, mask: jax.Array
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        return defence.aggregate(rule_key, state.defence, selection, updates, mask, context, params)

    def damage(direction: jax.Array) -> jax.Array:
        images = normalize(data, data.correction.images)
        return model.loss(state.theta - lr * direction, images, data.correction.labels)

    def rehearse(updates: jax.Array, mask: jax.Array) -> jax.Array:
        updates, good = refuse_bad_values(updates, learning.max_norm)
        return aggregate(updates, mask & good)[0]

    memory = state.attack
    if attack.forge is not None:
        view = AttackContext(
            previous=state.previous,
            round_index=round_index,
            mask=present,
            ids=who,
            tolerated_f=tolerated,
            state=memory,
            defence=rehearse,
            damage=damage,
            max_norm=learning.max_norm,
        )
        if attack.observe is not None:
            memory = attack.observe(memory, updates, byzantine, context=view, **hparams.attack)
            view = view._replace(state=memory)
        updates = attack.forge(attack_key, updates, byzantine, context=view, **hparams.attack)

    # From here on it is no longer the sellers' own: see `privacy/visibility.py`.
    item = "own update" if spec.secure_group else "update"
    updates, good = refuse_bad_values(privacy.release(updates, item), learning.max_norm)
    if spec.secure_group:  # nobody else can look: a proof of range is taken for granted
        good = privacy.release(good, "range proof")
    valid = privacy.release(present & good, "verdicts on sellers")
    if parts is not None:
        updates = privacy.spread_parts(updates, parts, valid)
    direction, defence_state, info = aggregate(updates, valid)
    memory_of_nodes = defence_state.memory
    defence_state = privacy.release(defence_state, "verdicts on sellers")
    defence_state = defence_state._replace(memory=memory_of_nodes)
    info = privacy.release(info, "verdicts on sellers")
    work = RoundWork(
        selection=selection,
        own_updates=own_updates,
        direction=privacy.release(direction, "aggregate"),
        valid=valid,
        refused=(present & ~valid).sum(dtype=jnp.int32),
        info=info,
        evidence=Evidence(
            accepted=info.accepted,
            gain=info.gain,
            mass=defence_state.p[who],
            updates=None if spec.secure_group else updates,
            reputation=defence_state.reputation[who],
            previous=state.previous,
            lr=lr,
            losses_of=losses_of,
            gradient_at=gradient,
        ),
    )
    return state._replace(momentum=momentum, defence=defence_state, attack=memory), work
