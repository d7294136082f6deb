"""Every number of a market, as one pytree: what a sweep varies without compiling again.

Groups follow the rooms. Defaults are plain Python numbers; `as_arrays` types them at the boundary,
so that 1, 1.0 and an array mean the same program. Read next: `market/engine.py`.
"""

import dataclasses
from typing import TypeAlias

from flax import struct

from d2m_jax.cone import ConeParams
from d2m_jax.config.population import Population
from d2m_jax.core.types import Count, Number
from d2m_jax.ledger import DEFAULT_RULES
from d2m_jax.ledger.rules import AMOUNTS as RULES_IN_UNITS
from d2m_jax.sampling import DefenceParams


class Learning(struct.PyTreeNode):
    """Local training and the server's step."""

    lr: Number = 0.1  # server: theta <- theta - lr * direction
    lr_final: Number = 1.0  # the rate falls linearly to this share of itself in the last round
    momentum: Number = 0.0  # of the server on the accepted aggregate: heavy ball, or Adam's b1
    server_decay: Number = 0.99  # b2 of an adaptive spec.server_optimizer
    adaptivity: Number = 1e-3  # tau of an adaptive spec.server_optimizer
    client_momentum: Number = 0.9  # with spec.client_momentum ema or heavy_ball
    lr_local: Number = 0.1  # with several local steps
    proximal: Number = 0.0  # FedProx pull
    weight_decay: Number = 0.0  # of the local steps
    drop_out: Number = 0.0  # probability that a sampled seller delivers nothing
    straggle: Number = 0.0  # probability that it finishes only some of its local steps
    staleness: Number = 0.0  # an update d rounds late counts (1 + d)^-staleness, with spec.delay
    delay_aversion: Number = 0.0  # who was d rounds late is drawn (1 + d)^-delay_aversion as often
    max_norm: Number = 1e6  # a longer update is refused before any rule sees it


class Privacy(struct.PyTreeNode):
    """Differential privacy at the sellers, with spec.privacy example or update."""

    clip: Number = 1.0  # bound on the norm of one example's gradient, or of one update
    noise: Number = 1.0  # standard deviation of the noise over the clip
    delta: Number = 1e-5  # of the epsilons that are reported
    density: Number = 0.5  # share of the hidden units that each seller gets, with spec.partial
    resolution: Number = 2.0**-12  # fixed point of sums, entries to 2^20 of it: spec.secure_group


class Conduct(struct.PyTreeNode):
    """How far the bad go, and how watchful the others are (our choice)."""

    spoil: Number = 5.0  # an accepted wrong result steps by -spoil times the honest direction
    vigilance: Number = 1.0  # probability that a wrong acceptance is noticed and disputed
    size_lie_bps: Count = 10_000  # Byzantine sellers report this share of their real size
    tolerated_openings: Count = 2  # that look false; a unit with more loses its deposit
    false_dispute: Number = 0.0  # probability that who loses by a right result disputes it
    withheld_metric: Number = 0.0  # probability that the buyer keeps its verdict examples back
    false_metric: Number = 1.0  # the metric that an accepted wrong verdict claims: 1 sells, 0 ruins


class Money(struct.PyTreeNode):
    """What the parties bring, in integer units. One entry per buyer in the tuples."""

    buyer_values: tuple[Count, ...] = (1_200_000, 1_000_000, 800_000, 600_000)  # of the model
    buyer_shading_bps: tuple[Count, ...] = (10_000,) * 4  # it bids up to this share of its value
    buyer_conduct: tuple[Count, ...] = ()  # codes of `market.bidding.Bidding`; none: all truthful
    buyer_funds: Count = 2_000_000  # of each buyer, at the start
    seller_funds: Count = 200_000  # of each seller
    node_funds: Count = 100_000  # of each node
    seller_stake: Count = 100_000  # what each seller deposits with the registry
    node_stake: Count = 20_000  # what each node stakes
    seller_ask: Count = 100_000  # least seller pool for which the sellers work
    seller_max_tau_bps: Count = 10_000  # highest threshold that they accept


MONEY_IN_UNITS = (
    *("buyer_values", "buyer_funds", "seller_funds", "node_funds"),
    *("seller_stake", "node_stake", "seller_ask"),
)


def is_amount(name: str) -> bool:
    """Whether a number, `money.buyer_values.0` or `rules.reserve`, is in units of money."""
    group, field, *_ = [*name.split("."), ""]
    return field in {"money": MONEY_IN_UNITS, "rules": RULES_IN_UNITS}.get(group, ())


class Requests(struct.PyTreeNode):
    """What each job asks for, with `spec.num_jobs` above 1; what is empty follows from the spec."""

    tags: tuple[Count, ...] = ()  # [J] bitmasks that sellers must cover; job j: tag j
    tau: tuple[Number, ...] = ()  # [J] thresholds on the metric; all: hparams.tau
    wants: tuple[Count, ...] = ()  # [U] the job that each buyer bids for; in turn


Numbers: TypeAlias = dict[str, Number]
PARTS = (  # fields of `HParams` that hold the numbers of a chosen part
    "attack",
    "schedule",
    "aggregator",
    "sampler",
    "availability",
    "delay",
    "contribution",
    "payment",
    "auction",
    "set_schedule",
    "stop_rule",
    "sortition",
    "dispute",
)

MARKET_RULES: dict[str, Count] = {
    **DEFAULT_RULES,
    "reserve": 200_000,
    "seller_deposit": 70_000,
    "node_stake": 20_000,
}


class HParams(struct.PyTreeNode):
    """The numbers of one market; `tau` in (0, 1] is the buyer's threshold on accuracy."""

    tau: Number = 0.9  # least metric that the buyer pays for
    tolerated_f: Count = -1  # declared Byzantine rows of a sample; -1: the expected number
    learning: Learning = dataclasses.field(default_factory=Learning)
    privacy: Privacy = dataclasses.field(default_factory=Privacy)
    population: Population = dataclasses.field(default_factory=Population)
    conduct: Conduct = dataclasses.field(default_factory=Conduct)
    # The numbers of the chosen parts, by the name of the keyword; see `core.choices.numbers`.
    attack: Numbers = dataclasses.field(default_factory=dict)
    schedule: Numbers = dataclasses.field(default_factory=dict)  # of spec.attack_schedule
    aggregator: Numbers = dataclasses.field(default_factory=dict)
    sampler: Numbers = dataclasses.field(default_factory=dict)
    availability: Numbers = dataclasses.field(default_factory=dict)
    delay: Numbers = dataclasses.field(default_factory=dict)
    contribution: Numbers = dataclasses.field(default_factory=dict)
    payment: Numbers = dataclasses.field(default_factory=dict)
    auction: Numbers = dataclasses.field(default_factory=dict)
    set_schedule: Numbers = dataclasses.field(default_factory=dict)
    stop_rule: Numbers = dataclasses.field(default_factory=dict)
    sortition: Numbers = dataclasses.field(default_factory=dict)
    dispute: Numbers = dataclasses.field(default_factory=dict)
    defence: DefenceParams = dataclasses.field(default_factory=DefenceParams)
    cone: ConeParams = dataclasses.field(default_factory=ConeParams)
    money: Money = dataclasses.field(default_factory=Money)
    requests: Requests = dataclasses.field(default_factory=Requests)
    rules: dict[str, Count] = dataclasses.field(default_factory=lambda: dict(MARKET_RULES))
