"""Asynchronous sellers: who is there, how late updates are, which models are kept for them.

The buyer waits for nobody. In round r the drawn sellers deliver what they computed at the model of
d rounds ago, so a run is one loop of fixed shape; the last `spec.max_delay` models lie in a ring,
that of round r in slot r mod max_delay. How late an update is is public: it names the version of
the model that it starts from, which re-execution checks. Our choice; FedAsync (Xie et al. 2019)
and FedBuff (Nguyen et al. 2022) count the server's steps between download and upload alike.

Not here: what is made of a late update (`variants.py`). Read first: `sellers/delays.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import label
from d2m_jax.core.counts import check_count
from d2m_jax.core.types import Number, PyTree
from d2m_jax.market.parts import Parts
from d2m_jax.market.scene import Drawn, LearningState, Scene
from d2m_jax.sampling import DefenceState

MAX_DELAY = 2**10  # rounds: so many models are kept
EVEN = ("uniform", "selecting")  # samplers that look at no mass


def check_lateness(spec: Spec) -> None:
    """Raises a ValueError, one sentence, for a delay that the other choices do not go with."""
    check_count("max_delay", spec.max_delay, 1, MAX_DELAY)
    for name in ("delay", "availability"):
        chosen = getattr(spec, name)
        if spec.num_jobs > 1 and chosen not in ("none", "always"):
            raise ValueError(f"{name} {label(chosen)!r} is for one job: set num_jobs to 1")
    if spec.delay == "none":
        return
    wrong = {
        "secure_group": (spec.secure_group, "only single updates can count less"),
        "scaffold": (spec.scaffold, "its control variates belong to one model"),
        "partial": (spec.partial, "parts of models that are not the same do not add up"),
    }
    for name, (is_wrong, why) in wrong.items():
        if is_wrong:
            raise ValueError(f"delay {label(spec.delay)!r} does not go with {name}: {why}")


def check_late_numbers(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError for an aversion to late sellers of a sampler that draws evenly."""
    if hparams.learning.delay_aversion != 0 and spec.sampler in EVEN:
        raise ValueError(
            f"learning.delay_aversion does nothing with sampler {spec.sampler!r}, which draws "
            "evenly: set it to 0, or choose another sampler"
        )


def there(parts: Parts, scene: Scene) -> jax.Array:
    """[N] bool: who can be drawn in this round."""
    can = scene.sizes > 0
    if parts.availability is None:
        return can
    num_listings, numbers = parts.spec.num_listings, scene.hparams.availability
    return can & parts.availability(scene.keys.availability, scene.round, num_listings, **numbers)


def rounds_late(parts: Parts, scene: Scene, sellers: jax.Array) -> jax.Array | None:
    """[S] int32: how late the updates of these sellers are; None where nobody can be.

    At most `max_delay`, and nobody has a model from before the first round.
    """
    if parts.delay is None:
        return None
    late = parts.delay(scene.keys.delay, scene.round, sellers, **scene.hparams.delay)
    return jnp.clip(late, 0, jnp.minimum(scene.round, parts.spec.max_delay)).astype(jnp.int32)


def models_of(scene: Scene, late: jax.Array) -> jax.Array:
    """[S, D]: the models of so many rounds `late` [S] ago."""
    ring = scene.state.versions
    old = ring[(scene.round - late) % ring.shape[0]]
    return jnp.where((late > 0)[:, None], old, scene.state.theta[None])


def wary(parts: Parts, scene: Scene) -> DefenceState:
    """The defence's state with less mass on sellers that were late when they were last drawn.

    p_i is multiplied by (1 + d_i)^-a, a = `learning.delay_aversion`, and normalised.
    """
    state: DefenceState = scene.state.defence
    if parts.delay is None:
        return state
    weight = state.p * counted(scene.state.late, scene.hparams.learning.delay_aversion)
    return state._replace(p=weight / weight.sum())


def counted(late: jax.Array, power: Number) -> jax.Array:
    """(1 + d)^-power for d rounds late, float32."""
    return jnp.power(1 + late.astype(jnp.float32), -jnp.asarray(power, jnp.float32))


def discounted(scene: Scene, drawn: Drawn, updates: jax.Array) -> jax.Array:
    """Updates [S, D] as they count: one that is d rounds late times (1 + d)^-staleness."""
    if drawn.late is None:
        return updates
    share = counted(drawn.late, scene.hparams.learning.staleness)
    return share[:, None].astype(updates.dtype) * updates


def no_memory(parts: Parts, theta: jax.Array) -> tuple[PyTree, PyTree]:
    """The ring of models and who was last how late, before the first round; () without delays."""
    if parts.delay is None:
        return (), ()
    spec = parts.spec
    ring = jnp.broadcast_to(theta, (spec.max_delay, *theta.shape))
    return ring, jnp.zeros(spec.num_listings, jnp.int32)


def remembered(
    state: LearningState, round_index: jax.Array, who: jax.Array, late: jax.Array | None
) -> LearningState:
    """The state with this round's model in the ring, and how late the drawn sellers were."""
    if late is None:
        return state
    slot = round_index % state.versions.shape[0]
    versions = state.versions.at[slot].set(state.theta)
    return state._replace(versions=versions, late=state.late.at[who].set(late))
