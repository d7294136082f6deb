"""Every number of a market, as one pytree: what a sweep varies without compiling again.

Groups follow the rooms. Defaults are plain Python numbers; `as_arrays` types them at the boundary,
so that 1, 1.0 and an array mean the same program. Read next: `market.py`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.cone import ConeParams
from d2m_jax.config.population import Population
from d2m_jax.core.types import Number
from d2m_jax.ledger import DEFAULT_RULES
from d2m_jax.sampling import DefenceParams


@struct.dataclass
class Learning:
    """Local training and the server's step."""

    lr: Number = 0.1  # server: theta <- theta - lr * direction
    lr_final: Number = 1.0  # the rate falls linearly to this share of itself in the last round
    momentum: Number = 0.0  # of the server on the accepted aggregate: heavy ball, or Adam's b1
    server_decay: Number = 0.99  # b2 of an adaptive spec.server_optimizer
    adaptivity: Number = 1e-3  # tau of an adaptive spec.server_optimizer
    client_momentum: Number = 0.9  # with spec.client_momentum ema or heavy_ball
    lr_local: Number = 0.1  # with several local steps
    proximal: Number = 0.0  # FedProx pull
    weight_decay: Number = 0.0
    drop_out: Number = 0.0  # probability that a sampled seller delivers nothing
    straggle: Number = 0.0  # probability that it finishes only some of its local steps
    max_norm: Number = 1e6  # a longer update is refused before any rule sees it


@struct.dataclass
class Privacy:
    """Differential privacy at the sellers, with spec.privacy example or update."""

    clip: Number = 1.0  # bound on the norm of one example's gradient, or of one update
    noise: Number = 1.0  # standard deviation of the noise over the clip
    delta: Number = 1e-5  # of the epsilons that are reported
    density: Number = 0.5  # share of the hidden units that each seller gets, with spec.partial
    resolution: Number = 2.0**-12  # fixed point of sums, entries to 2^20 of it: spec.secure_group


@struct.dataclass
class Conduct:
    """How far the bad go, and how watchful the others are (our choice)."""

    spoil: Number = 5.0  # an accepted wrong result steps by -spoil times the honest direction
    vigilance: Number = 1.0  # probability that a wrong acceptance is noticed and disputed
    size_lie_bps: Number = 10_000  # Byzantine sellers report this share of their real size
    false_dispute: Number = 0.0  # probability that who loses by a right result disputes it
    withheld_metric: Number = 0.0  # probability that the buyer keeps its verdict examples back
    false_metric: Number = 1.0  # the metric that an accepted wrong verdict claims: 1 sells, 0 ruins


@struct.dataclass
class Money:
    """What the parties bring, in integer units. One entry per buyer in the tuples."""

    buyer_values: tuple[Number, ...] = (1_200_000, 1_000_000, 800_000, 600_000)
    buyer_shading_bps: tuple[Number, ...] = (
        10_000,
    ) * 4  # a buyer bids up to this share of its value
    buyer_funds: Number = 2_000_000
    seller_funds: Number = 200_000
    node_funds: Number = 100_000
    seller_stake: Number = 100_000  # what each seller deposits with the registry
    node_stake: Number = 20_000


MARKET_RULES = {
    **DEFAULT_RULES,
    "reserve": 200_000,
    "second_price": 1,
    "seller_deposit": 70_000,
    "node_stake": 10_000,
}


@struct.dataclass
class HParams:
    """The numbers of one market; `tau` in (0, 1] is the buyer's threshold on accuracy."""

    tau: Number = 0.9
    tolerated_f: Number = -1  # declared Byzantine rows of a sample; -1: the expected number
    learning: Learning = dataclasses.field(default_factory=Learning)
    privacy: Privacy = dataclasses.field(default_factory=Privacy)
    population: Population = dataclasses.field(default_factory=Population)
    conduct: Conduct = dataclasses.field(default_factory=Conduct)
    attack: dict[str, Number] = dataclasses.field(default_factory=dict)  # keys of the named attack
    schedule: dict[str, Number] = dataclasses.field(default_factory=dict)  # of its schedule
    aggregator: dict[str, Number] = dataclasses.field(default_factory=dict)  # of the named rule
    defence: DefenceParams = dataclasses.field(default_factory=DefenceParams)
    cone: ConeParams = dataclasses.field(default_factory=ConeParams)
    money: Money = dataclasses.field(default_factory=Money)
    rules: dict[str, Number] = dataclasses.field(default_factory=lambda: dict(MARKET_RULES))


def as_arrays(hparams: HParams) -> HParams:
    """Types every number as its default is typed, so that 1 and 1.0 mean the same program.

    Counts, flags and money become int32, the rest float32; the numbers of an attack or of a rule
    are float32.
    """
    parts = ("attack", "schedule", "aggregator")
    named: dict[str, Any] = {part: dict.fromkeys(getattr(hparams, part), 0.0) for part in parts}
    buyers = len(hparams.money.buyer_values)
    money = Money(buyer_values=(0,) * buyers, buyer_shading_bps=(0,) * buyers)
    like = HParams(money=money, **named)

    def typed(leaf: Any, default: int | float) -> jax.Array:
        return jnp.asarray(leaf, jnp.int32 if isinstance(default, int) else jnp.float32)

    return jax.tree.map(typed, hparams, like)
