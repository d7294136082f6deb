"""The mechanisms of a market, each resolved from its name or given by the user.

Read next: `round.py` and `engine.py`, which call them. Not here: what there is to choose from
(`choices.py`), what does not go together (`validation.py`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from d2m_jax import cone, sellers, tasks
from d2m_jax import ledger as books
from d2m_jax.attacks import Attack, Schedule, bind
from d2m_jax.cone.stop_rules import Accept
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import bound, label
from d2m_jax.core.promises import Like, booleans, checked, floats, integers, numbers
from d2m_jax.core.types import Key
from d2m_jax.incentives import Contribution, Evidence, Payment
from d2m_jax.ledger import Layout, Ledger, Rules
from d2m_jax.market.auction import Auction, HoldAuction, format_of
from d2m_jax.market.choices import CHOICES, chosen
from d2m_jax.market.defence import build_defence
from d2m_jax.market.disputes import Dispute
from d2m_jax.sampling import Defence, DefenceParams
from d2m_jax.tasks import Model, Task


class Parts(NamedTuple):
    """What a market is put together from; static, closed over by its functions."""

    spec: Spec
    model: Model
    layout: Layout
    attack: Attack
    schedule: Schedule
    contribution: Contribution
    payment: Payment
    auction: HoldAuction
    momentum: sellers.Momentum | None  # of the clients
    availability: sellers.Availability | None
    delay: sellers.Delay | None
    defence: Callable[[HParams], Defence]  # call it inside the trace: its numbers may be traced
    stop_rule: Accept | None = None  # in place of the spec's: one that is picked by an index
    mesh: Mesh | None = None  # of devices over which the drawn sellers are dealt: `devices.py`

    def defence_params(self, hparams: HParams) -> DefenceParams:
        """The numbers of the defence; the horizon is the market's."""
        return hparams.defence._replace(horizon=float(self.spec.num_rounds))

    def rules(self, hparams: HParams) -> Rules:
        """The ledger's terms: those of the auction; what stakes a node pledges, how many rounds."""
        return books.make_rules(**{**hparams.rules, **fixed_rules(self.spec)})

    def dispute(self, hparams: HParams) -> Dispute:
        """How disputes are decided, with the numbers bound."""
        return bound(chosen(self.spec, "dispute"), hparams.dispute)

    def vote(self, hparams: HParams) -> Callable[..., cone.Consensus]:
        """`cone.decide` with the schedule, stop rule and sortition of the spec."""
        given = cone_parts(self.spec, hparams)
        if self.stop_rule is not None:
            given["stop_rule"] = self.stop_rule
        return partial(cone.decide, **given, rice=self.spec.rice)


def fixed_rules(spec: Spec) -> dict[str, int]:
    """The rules that follow from a spec: in a vote by stake a node pledges all that it has.

    What a simulated court finds is booked as a decision (`hearing.hear`), so `bisection` stays 0.
    """
    by_stake = int(spec.sortition != "uniform")
    return {**format_of(spec.auction), "num_rounds": spec.num_rounds, "by_stake": by_stake}


def layout_of(spec: Spec) -> Layout:
    """The accounts and jobs of a market's ledger; a job's units are its rounds and one more."""
    parties = spec.num_buyers, spec.num_listings, spec.num_nodes
    return Layout(*parties, num_jobs=spec.num_jobs, num_units=spec.num_rounds + 1)


def make_parts(spec: Spec, task: Task) -> Parts:
    """Resolves every choice of a spec.

    Raises:
        ValueError: an unknown name, or something that is no part.
    """
    return Parts(
        spec=spec,
        model=tasks.flatten(task),
        layout=layout_of(spec),
        attack=attack_of(spec),
        schedule=schedule_of(spec),
        contribution=held(spec, "contribution", _shares),
        payment=chosen(spec, "payment"),  # `incentives.pay` checks it
        auction=held(spec, "auction", _auction),
        momentum=None if spec.client_momentum == "none" else held(spec, "client_momentum", _sent),
        availability=None if spec.availability == "always" else held(spec, "availability", _there),
        delay=None if spec.delay == "none" else held(spec, "delay", _late),
        defence=partial(build_defence, spec),
    )


def attack_of(spec: Spec) -> Attack:
    """The attack with its static choices, held to what it promises."""
    attack = bind(chosen(spec, "attack"), **dict(spec.attack_options))
    forge = attack.forge and held(spec, "attack", _forged, attack.forge)
    poison = attack.poison and held(spec, "attack", _poisoned, attack.poison)
    observe = attack.observe and held(spec, "attack", _observed, attack.observe)
    return attack._replace(forge=forge, poison=poison, observe=observe)


def schedule_of(spec: Spec) -> Schedule:
    """The attack's schedule, held to what it promises."""
    schedule: Schedule = chosen(spec, "attack_schedule")
    return Schedule(held(spec, "attack_schedule", _active, schedule.active))


def held(spec: Spec, field: str, promise: Callable[..., Any], fn: Any = None) -> Any:
    """A part, or one of its functions, that says by its name where it breaks its promise."""
    what = f"{CHOICES[field].what} {label(getattr(spec, field))!r}"
    return checked(chosen(spec, field) if fn is None else fn, what, promise)


def _forged(key: Key, updates: jax.Array, *_: Any, **__: Any) -> Any:
    return floats(*updates.shape)


def _poisoned(key: Key, inputs: jax.Array, labels: jax.Array, *_: Any, **__: Any) -> Any:
    return numbers(*inputs.shape), numbers(*labels.shape)


def _observed(state: Any, *_: Any, **__: Any) -> Any:
    return Like(state)


def _active(key: Key, round_index: Any, byzantine: jax.Array, **_: Any) -> Any:
    return booleans(*byzantine.shape)


def _shares(evidence: Evidence, **_: Any) -> Any:
    return floats(*evidence.accepted.shape)


def _sent(buffer: jax.Array, sampled: Any, updates: jax.Array, beta: Any) -> Any:
    return Like(buffer), floats(*updates.shape)


def _there(key: Key, round_index: Any, num_sellers: int, **_: Any) -> Any:
    return booleans(num_sellers)


def _late(key: Key, round_index: Any, who: jax.Array, **_: Any) -> Any:
    return integers(*who.shape)


def _auction(key: Key, ledger: Ledger, rules: Rules, layout: Layout, *_: Any, **__: Any) -> Any:
    buyers = layout.num_buyers
    return Like(ledger), Auction(integers(buyers), integers(buyers), integers())


def cone_parts(spec: Spec, hparams: HParams) -> dict[str, Any]:
    """Set schedule, stop rule and sortition as `cone` takes them, their numbers bound."""
    return {
        "schedule": bound(chosen(spec, "set_schedule"), hparams.set_schedule),
        "stop_rule": bound(chosen(spec, "stop_rule"), hparams.stop_rule),
        "sortition": bound(chosen(spec, "sortition"), hparams.sortition),
    }
