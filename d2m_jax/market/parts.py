"""The mechanisms of a market, each resolved from its name or given by the user.

Read next: `round.py` and `engine.py`, which call them. Not here: what there is to choose from
(`choices.py`), what does not go together (`validation.py`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from d2m_jax import cone, sellers, tasks
from d2m_jax import ledger as books
from d2m_jax.attacks import Attack, Schedule, bind
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import bound, pick
from d2m_jax.ledger import Layout, Rules
from d2m_jax.market.auction import HoldAuction
from d2m_jax.market.choices import chosen
from d2m_jax.market.defence import build_defence
from d2m_jax.sampling import Defence, DefenceParams
from d2m_jax.tasks import Model, Task


class Parts(NamedTuple):
    """What a market is put together from; static, closed over by its functions."""

    spec: Spec
    model: Model
    layout: Layout
    attack: Attack
    schedule: Schedule
    contribution: Callable[..., Any]
    payment: Callable[..., Any]
    auction: HoldAuction
    momentum: Callable[..., Any] | None  # of the clients
    defence: Callable[[HParams], Defence]  # call it inside the trace: its numbers may be traced

    def defence_params(self, hparams: HParams) -> DefenceParams:
        """The numbers of the defence; the horizon is the market's."""
        return hparams.defence._replace(horizon=float(self.spec.num_rounds))

    def rules(self, hparams: HParams) -> Rules:
        """The ledger's terms: every training round and the verification are paid work."""
        return books.make_rules(**{**hparams.rules, "num_rounds": self.spec.num_rounds + 1})

    def vote(self, hparams: HParams) -> Callable[..., cone.Consensus]:
        """`cone.decide` with the schedule, stop rule and sortition of the spec."""
        return partial(cone.decide, **cone_parts(self.spec, hparams), rice=self.spec.rice)


def make_parts(spec: Spec, task: Task) -> Parts:
    """Resolves every choice of a spec.

    Raises:
        ValueError: an unknown name, or something that is no part.
    """
    attack = chosen(spec, "attack")
    momentum = spec.client_momentum
    return Parts(
        spec=spec,
        model=tasks.flatten(task),
        layout=Layout(spec.num_buyers, spec.num_sellers, spec.num_nodes),
        attack=bind(attack, **dict(spec.attack_options)),
        schedule=chosen(spec, "attack_schedule"),
        contribution=chosen(spec, "contribution"),
        payment=chosen(spec, "payment"),
        auction=chosen(spec, "auction"),
        momentum=None if momentum == "none" else pick(sellers.MOMENTA, momentum, "client momentum"),
        defence=partial(build_defence, spec),
    )


def cone_parts(spec: Spec, hparams: HParams) -> dict[str, Any]:
    """Set schedule, stop rule and sortition as `cone` takes them, their numbers bound."""
    return {
        "schedule": bound(chosen(spec, "set_schedule"), hparams.set_schedule),
        "stop_rule": bound(chosen(spec, "stop_rule"), hparams.stop_rule),
        "sortition": bound(chosen(spec, "sortition"), hparams.sortition),
    }
