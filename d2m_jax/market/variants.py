"""What varies a stage of the round: each takes the place of a stage, or wraps one.

    private_training, noised    differential privacy, in the place of or around the training
    work_late                   everybody trains the model that it has, of some rounds ago
    late_counts_less            a late update counts less
    dealt_out                   each device trains some of the sellers
    work_in_parts               every seller trains a part of the model
    admit_unseen                with secure sums nobody sees a single update
    deliver_served              the bytes that nodes were served, for literal re-execution

`stages_of` puts them together. Read first: `round.py`.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax import privacy
from d2m_jax.core.mesh import dealt
from d2m_jax.market.admission import refuse_bad_values
from d2m_jax.market.buyer import Buyer
from d2m_jax.market.lateness import discounted, models_of
from d2m_jax.market.parts import Parts
from d2m_jax.market.round import (
    Admit,
    Attacking,
    Lesson,
    Stages,
    Train,
    admit,
    attack,
    plain_training,
    with_momentum,
    work_whole,
)
from d2m_jax.market.scene import Admitted, Drawn, Scene, Sent, Worked
from d2m_jax.market.tampering import tampering


def stages_of(parts: Parts) -> Stages:
    """The stages that a spec asks for."""
    spec = parts.spec
    train: Train = private_training if spec.privacy == "example" else plain_training
    if spec.privacy == "update":
        train = noised(train)
    admission = admit_unseen if spec.secure_group else admit
    if spec.partial:
        return Stages(partial(work_in_parts, train), attack, in_parts(admission))
    if parts.delay is not None:
        return Stages(partial(work_late, train), attack, late_counts_less(admission))
    return Stages(partial(work_whole, dealt_out(train)), attack, admission)


def private_training(parts: Parts, scene: Scene, drawn: Drawn, lesson: Lesson) -> jax.Array:
    """DP-SGD: every example's gradient is clipped and the sum over a Poisson batch noised."""
    private = scene.hparams.privacy
    return privacy.private_sellers(
        parts.model,
        scene.keys.train,
        lesson.theta,
        scene.data,
        lesson.who,
        batch_size=parts.spec.batch_size,
        clip=private.clip,
        noise=private.noise,
        tamper=tampering(parts, scene, drawn.active),
    )


def noised(train: Train) -> Train:
    """The same training, after which every update is clipped and noised as a whole."""

    def private(parts: Parts, scene: Scene, drawn: Drawn, lesson: Lesson) -> jax.Array:
        updates, numbers = train(parts, scene, drawn, lesson), scene.hparams.privacy
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(scene.keys.noise, lesson.who)
        return jax.vmap(privacy.private_update, in_axes=(0, 0, None, None))(
            keys, updates, numbers.clip, numbers.noise
        )

    return private


def dealt_out(train: Train) -> Train:
    """The same training, each device of the market's mesh taking as many of the sellers."""

    def spread(parts: Parts, scene: Scene, drawn: Drawn, lesson: Lesson) -> jax.Array:
        def some(own: tuple[Any, ...], theta: jax.Array, scene: Scene, drawn: Drawn) -> jax.Array:
            return train(parts, scene, drawn, Lesson(theta, *own))

        own = lesson.who, lesson.steps, lesson.controls
        return dealt(parts.mesh, some, own, lesson.theta, scene, drawn)

    return spread


def work_late(train: Train, parts: Parts, scene: Scene, drawn: Drawn) -> Worked:
    """Everybody trains the model that it has, of as many rounds ago as it is late."""
    assert drawn.late is not None  # with a delay there is one

    def alone(own: tuple[jax.Array, ...], scene: Scene, drawn: Drawn) -> jax.Array:
        theta, seller, steps = own
        return train(parts, scene, drawn, Lesson(theta, seller[None], steps[None], None))[0]

    def some(own: tuple[jax.Array, ...], scene: Scene, drawn: Drawn) -> jax.Array:
        if parts.model.map_sellers == "map" or parts.spec.privacy == "example":
            return jax.lax.map(lambda row: alone(row, scene, drawn), own)
        return jax.vmap(alone, in_axes=(0, None, None))(own, scene, drawn)

    lessons = models_of(scene, drawn.late), drawn.selection.indices, drawn.steps
    own = dealt(parts.mesh, some, lessons, scene, drawn)
    return with_momentum(parts, scene, drawn, Worked(own, own, scene.state.momentum))


def late_counts_less(admission: Admit) -> Admit:
    """The same admission, after which an update d rounds late counts (1 + d)^-staleness."""

    def admit(scene: Scene, drawn: Drawn, worked: Worked, sent: Sent) -> Admitted:
        seen = admission(scene, drawn, worked, sent)
        return seen._replace(updates=discounted(scene, drawn, seen.updates))

    return admit


def work_in_parts(train: Train, parts: Parts, scene: Scene, drawn: Drawn) -> Worked:
    """Every seller sees and trains some units of the model; the rest of its update is zero."""
    assert parts.model.units is not None  # checked by `parts.py`
    groups = parts.model.units()
    cut = privacy.draw_parts(
        scene.keys.parts, parts.spec.num_sampled, *groups, scene.hparams.privacy.density
    )

    def alone(own: tuple[jax.Array, ...], scene: Scene, drawn: Drawn) -> jax.Array:
        seller, steps, part = own
        seen = jnp.where(part, scene.state.theta, 0.0)
        return train(parts, scene, drawn, Lesson(seen, seller[None], steps[None], None))[0]

    some = jax.vmap(alone, in_axes=(0, None, None))
    lessons = drawn.selection.indices, drawn.steps, cut
    updates = dealt(parts.mesh, some, lessons, scene, drawn)
    own = jnp.where(cut, updates, 0.0)
    return with_momentum(parts, scene, drawn, Worked(own, own, scene.state.momentum, cut))


def in_parts(admission: Admit) -> Admit:
    """The same admission, after which a row counts for those parameters that it covers."""

    def admit(scene: Scene, drawn: Drawn, worked: Worked, sent: Sent) -> Admitted:
        seen = admission(scene, drawn, worked, sent)
        assert worked.parts is not None
        return seen._replace(updates=privacy.spread_parts(seen.updates, worked.parts, seen.valid))

    return admit


def admit_unseen(scene: Scene, drawn: Drawn, worked: Worked, sent: Sent) -> Admitted:
    """Single updates stay hidden; that they are finite and not too long is proven in their place.

    The proof of range is taken for granted. The groups' sums are the defence's: `defence.secured`.
    """
    del worked
    hidden = privacy.release(sent.updates, "own update")
    updates, good = refuse_bad_values(hidden, scene.hparams.learning.max_norm)
    good = privacy.release(good, "range proof")
    return Admitted(updates, privacy.release(drawn.delivers & good, "verdicts on sellers"))


def deliver_served(updates: jax.Array) -> Attacking:
    """A stage that delivers the bytes a node was served, whatever the sellers computed."""

    def served(parts: Parts, scene: Scene, drawn: Drawn, worked: Worked, buyer: Buyer) -> Sent:
        del parts, drawn, worked, buyer
        return Sent(updates, scene.state.attack)

    return served
