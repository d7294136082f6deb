"""The learning half of a round, as stages: draw, work, attack, admit, defend.

    draw     who trains, and who of them attacks
    work     what each computes, on data that bad sellers have tampered with
    attack   what bad sellers send in its place
    admit    what is not finite or too long is refused
    defend   the aggregate, and what the defence thinks of whom

Every stage is a function of the market's parts, the scene and what earlier stages left. What varies
a stage (privacy, partial models, secure sums, literal bytes) takes its place or wraps it:
`variants.py`. Not here: votes and money (`engine.py`, `booking.py`).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax import privacy, sellers, tasks
from d2m_jax.attacks import AttackContext
from d2m_jax.core.choices import taken
from d2m_jax.core.protocols import OutputsOf
from d2m_jax.incentives import Evidence
from d2m_jax.market.admission import refuse_bad_values
from d2m_jax.market.buyer import Buyer, buyer_of
from d2m_jax.market.lateness import discounted, remembered, rounds_late, there, wary
from d2m_jax.market.opened import falls_on_batches
from d2m_jax.market.openings import examples_at
from d2m_jax.market.parts import Parts
from d2m_jax.market.scene import (
    Admitted,
    Defended,
    Drawn,
    LearningState,
    RoundWork,
    Scene,
    Sent,
    Worked,
)
from d2m_jax.market.tampering import tampering
from d2m_jax.sampling import Context


class Lesson(NamedTuple):
    """What some sellers are to compute."""

    theta: jax.Array  # [D] where they start
    who: jax.Array  # [S] int32
    steps: jax.Array  # [S] int32, local steps that each finishes
    controls: jax.Array | None  # [S, D] SCAFFOLD's c - c_s


class Train(Protocol):
    """`(parts, scene, drawn, lesson) -> updates [S, D]`."""

    def __call__(self, parts: Parts, scene: Scene, drawn: Drawn, lesson: Lesson) -> jax.Array:
        """What the sellers of the lesson compute."""


class Work(Protocol):
    """`(parts, scene, drawn) -> Worked`."""

    def __call__(self, parts: Parts, scene: Scene, drawn: Drawn) -> Worked:
        """Local training of everybody who was drawn."""


class Attacking(Protocol):
    """`(parts, scene, drawn, worked, buyer) -> Sent`."""

    def __call__(
        self, parts: Parts, scene: Scene, drawn: Drawn, worked: Worked, buyer: Buyer
    ) -> Sent:
        """What the sellers send."""


class Admit(Protocol):
    """`(scene, drawn, worked, sent) -> Admitted`."""

    def __call__(self, scene: Scene, drawn: Drawn, worked: Worked, sent: Sent) -> Admitted:
        """What the defence gets to see."""


class Stages(NamedTuple):
    """The stages that a market may vary; `draw` and `defend` are the same for all."""

    work: Work
    attack: Attacking
    admit: Admit


def learn(parts: Parts, stages: Stages, scene: Scene) -> tuple[LearningState, RoundWork]:
    """One round of sampling, local training, attack and aggregation; nobody votes yet.

    Returns:
        The state with momentum, defence and attack memory advanced, and the work that CONE votes
        on.
    """
    drawn = draw(parts, scene)
    worked = stages.work(parts, scene, drawn)
    buyer = buyer_of(parts.model, scene)
    sent = stages.attack(parts, scene, drawn, worked, buyer)
    admitted = stages.admit(scene, drawn, worked, sent)
    defended = defend(parts, scene, drawn, admitted, buyer)
    work = RoundWork(
        selection=drawn.selection,
        own_updates=worked.own,
        direction=privacy.release(defended.direction, "aggregate"),
        valid=admitted.valid,
        refused=(drawn.delivers & ~admitted.valid).sum(dtype=jnp.int32),
        info=defended.info,
        evidence=evidence_of(parts, scene, drawn, admitted, defended, buyer),
    )
    state = scene.state._replace(
        momentum=worked.momentum, defence=defended.state, attack=sent.memory
    )
    return remembered(state, scene.round, drawn.selection.indices, drawn.late), work


def draw(parts: Parts, scene: Scene) -> Drawn:
    """Who trains this round, who attacks, who drops out; what the defence is told about f."""
    spec, keys, hparams = parts.spec, scene.keys, scene.hparams
    eligible = there(parts, scene)
    params = parts.defence_params(hparams)
    chosen = parts.defence(hparams).sample(keys.sample, wary(parts, scene), eligible, params)
    active = parts.schedule.active(
        keys.schedule, scene.round, scene.roles.byzantine, **hparams.schedule
    )
    part = sellers.participation(
        keys.participation,
        chosen.indices,
        local_steps=spec.local_steps,
        drop_out=hparams.learning.drop_out,
        straggle=hparams.learning.straggle,
    )
    # Who delivers nothing is not there: absence is no evidence against anybody.
    delivers = chosen.present & part.present
    bad = spec.num_sampled * (scene.roles.bad_seller & eligible).sum(dtype=jnp.int32)
    expected = -(-bad // jnp.maximum(eligible.sum(dtype=jnp.int32), 1))
    byzantine, shorten = active[chosen.indices] & chosen.present, parts.attack.shorten
    return Drawn(
        selection=chosen._replace(present=delivers),
        active=active,
        byzantine=byzantine,
        steps=part.steps if shorten is None else shorten(part.steps, byzantine),
        delivers=delivers,
        tolerated=jnp.where(hparams.tolerated_f < 0, expected, hparams.tolerated_f),
        late=rounds_late(parts, scene, chosen.indices),
    )


def plain_training(parts: Parts, scene: Scene, drawn: Drawn, lesson: Lesson) -> jax.Array:
    """Minibatch gradients, or the mean gradient along several local steps, [S, D]."""
    spec, learning = parts.spec, scene.hparams.learning
    return sellers.train_sellers(
        parts.model,
        scene.keys.train,
        lesson.theta,
        scene.data,
        lesson.who,
        batch_size=spec.batch_size,
        local_steps=spec.local_steps,
        lr_local=learning.lr_local,
        mu=learning.proximal,
        weight_decay=learning.weight_decay,
        controls=lesson.controls,
        steps=lesson.steps,
        tamper=tampering(parts, scene, drawn.active),
    )


def work_whole(train: Train, parts: Parts, scene: Scene, drawn: Drawn) -> Worked:
    """Every seller trains the whole model, with control variates where the spec wants them."""
    who, state = drawn.selection.indices, scene.state
    controls = sellers.scaffold.controls(state.controls, who) if parts.spec.scaffold else None
    own = train(parts, scene, drawn, Lesson(state.theta, who, drawn.steps, controls))
    return with_momentum(parts, scene, drawn, Worked(own, own, state.momentum))


def with_momentum(parts: Parts, scene: Scene, drawn: Drawn, worked: Worked) -> Worked:
    """What honest sellers send: their updates, or the average that client momentum keeps."""
    if parts.momentum is None:
        return worked
    momentum, updates = parts.momentum(
        scene.state.momentum,
        drawn.selection.indices,
        worked.updates,
        scene.hparams.learning.client_momentum,
    )
    return worked._replace(momentum=momentum, updates=updates)


def attack(parts: Parts, scene: Scene, drawn: Drawn, worked: Worked, buyer: Buyer) -> Sent:
    """Bad sellers replace what they computed by what their attack makes of it."""
    acting, memory, hyper = parts.attack, scene.state.attack, scene.hparams.attack
    if acting.forge is None:
        return Sent(worked.updates, memory)
    who, known = drawn.selection.indices, scene.state.defence
    view = AttackContext(
        previous=scene.state.previous,
        round_index=scene.round,
        mask=drawn.delivers,
        ids=who,
        tolerated_f=drawn.tolerated,
        state=memory,
        defence=rehearsal(parts, scene, drawn, buyer),
        damage=buyer.damage,
        mass=parts.spec.num_listings * known.p[who],
        reputation=known.reputation[who],
        max_norm=scene.hparams.learning.max_norm,
    )
    if acting.observe is not None:
        own = taken(acting.observe, hyper)
        memory = acting.observe(memory, worked.updates, drawn.byzantine, context=view, **own)
        view = view._replace(state=memory)
    forged = acting.forge(scene.keys.attack, worked.updates, drawn.byzantine, context=view, **hyper)
    return Sent(forged, memory)


def rehearsal(
    parts: Parts, scene: Scene, drawn: Drawn, buyer: Buyer
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The defence of this round as a function, for attackers that know it."""

    def rehearse(updates: jax.Array, mask: jax.Array) -> jax.Array:
        updates, good = refuse_bad_values(updates, scene.hparams.learning.max_norm)
        updates = discounted(scene, drawn, updates)
        return aggregate(parts, scene, drawn, updates, mask & good, buyer).direction

    return rehearse


def admit(scene: Scene, drawn: Drawn, worked: Worked, sent: Sent) -> Admitted:
    """CONE sees every update, refuses what is not finite or too long, and says so."""
    del worked
    seen = privacy.release(sent.updates, "update")
    updates, good = refuse_bad_values(seen, scene.hparams.learning.max_norm)
    return Admitted(updates, privacy.release(drawn.delivers & good, "verdicts on sellers"))


def defend(parts: Parts, scene: Scene, drawn: Drawn, admitted: Admitted, buyer: Buyer) -> Defended:
    """The aggregate of what was admitted; what the defence thinks of sellers is public."""
    found = aggregate(parts, scene, drawn, admitted.updates, admitted.valid, buyer)
    memory = found.state.memory
    public = privacy.release(found.state, "verdicts on sellers")._replace(memory=memory)
    return Defended(found.direction, public, privacy.release(found.info, "verdicts on sellers"))


def aggregate(
    parts: Parts, scene: Scene, drawn: Drawn, updates: jax.Array, valid: jax.Array, buyer: Buyer
) -> Defended:
    """The defence's aggregate of these rows, nothing released."""
    lam = scene.sizes.astype(jnp.float32)
    context = Context(
        lam=lam / jnp.maximum(lam.sum(), 1.0),
        lr=scene.rate,
        round=scene.round,
        f=drawn.tolerated,
        losses_of=buyer.losses_of,
        grad_of_validation=buyer.gradient,
        root_update=buyer.root_update,
        outputs_of=on_noise(parts, scene),
        layers=parts.model.layers,
    )
    return Defended(
        *parts.defence(scene.hparams).aggregate(
            scene.keys.rule,
            scene.state.defence,
            drawn.selection,
            updates,
            valid,
            context,
            parts.defence_params(scene.hparams),
        )
    )


def on_noise(parts: Parts, scene: Scene) -> OutputsOf | None:
    """What the model says of noise after steps along updates; None without classes."""
    if not parts.model.num_classes:
        return None
    data, key = scene.data, jax.random.fold_in(scene.keys.rule, parts.spec.num_listings)
    theta, rate = scene.state.theta, scene.rate
    return tasks.outputs_on_noise(parts.model, theta, rate, data.correction, data.stats, key)


def evidence_of(
    parts: Parts, scene: Scene, drawn: Drawn, admitted: Admitted, defended: Defended, buyer: Buyer
) -> Evidence:
    """What CONE knows of the sampled sellers after the round."""
    who = drawn.selection.indices
    return Evidence(
        accepted=defended.info.accepted,
        gain=defended.info.gain,
        mass=defended.state.p[who],
        updates=None if parts.spec.secure_group else admitted.updates,
        reputation=defended.state.reputation[who],
        previous=scene.state.previous,
        lr=scene.rate,
        losses_of=buyer.losses_of,
        gradient_at=buyer.gradient,
        on_units=on_units_of(parts, scene, who, admitted),
        batch_falls=partial(falls_on_batches, parts, scene, who),
    )


def on_units_of(
    parts: Parts, scene: Scene, who: jax.Array, admitted: Admitted
) -> Callable[[], tuple[jax.Array, jax.Array]] | None:
    """() -> [S] twice: how each update helps the openings of its unit, and of the next one drawn.

    To first order, <u, gradient there>; the order of the draw is random. None where nobody showed
    anything.
    """
    if not scene.shown or not scene.shown.places.shape[-1]:
        return None

    def on_units() -> tuple[jax.Array, jax.Array]:
        batch = examples_at(scene.data, who, scene.shown.places[who])
        prepared = jax.vmap(parts.model.prepare, (0, None))(batch, scene.data.stats)
        slopes = jax.vmap(jax.grad(parts.model.loss), (None, 0))(scene.state.theta, prepared)
        own = (admitted.updates * slopes).sum(1)
        return own, (admitted.updates * jnp.roll(slopes, -1, axis=0)).sum(1)

    return on_units
