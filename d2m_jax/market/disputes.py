"""How a dispute is decided: by the vote of a fresh set, or by bisection before the court.

A way is a function `(key, matter, **numbers) -> Hearing`. Who complains about what is prepared in
`closing.py`; what the ledger books is in `ledger/disputes.py`. Read next: `court/tournament.py`.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Key, Number
from d2m_jax.court.tournament import hold_trial
from d2m_jax.ledger import Finding, Ledger, Rules, Ruling
from d2m_jax.ledger.disputes import bond_of


class Matter(NamedTuple):
    """What there is to dispute, and who may."""

    ledger: Ledger  # before anybody disputes
    rules: Rules
    job: int | jax.Array  # slot
    round: jax.Array  # [] int32, in question
    wrong: jax.Array  # [C] bool, nodes that voted for an accepted wrong result
    only_metric: jax.Array  # [] bool, the model is right and only its metric was false
    honest: jax.Array  # [C] bool, nodes that tell the truth
    voters: jax.Array  # [C] bool, nodes that sat in the last vote
    loser: jax.Array  # [] int32, account that the reported metric leaves unpaid, or nobody
    vigilance: Number  # probability that the loser notices a wrong result
    false_dispute: Number  # probability that it disputes a right one
    lots: tuple[jax.Array, jax.Array]  # [] uniform each, for these two
    again: Callable[[Key, Ledger], cone.Consensus]  # the vote of a fresh, larger set
    block_time: ArrayLike  # seconds

    @property
    def has_reason(self) -> jax.Array:
        """[] bool: a wrong result was accepted."""
        return self.wrong.any()


class Hearing(NamedTuple):
    """What came of it."""

    ledger: Ledger
    disputed: jax.Array  # [] bool
    upheld: jax.Array  # [] bool, of a dispute that there is
    messages: jax.Array  # [] int32, transactions that it took
    delay: jax.Array  # [] int32, blocks
    gas: jax.Array  # [] int32, of the messages to the court
    executed: jax.Array  # [C] bool, nodes of the pool that executed again


Dispute: TypeAlias = Callable[..., Hearing]


def revote(key: Key, matter: Matter) -> Hearing:
    """The loser notices with probability `vigilance`, a fresh and larger set votes again.

    A majority of liars in the pool wins here too. Each of the set sends a commitment and a reveal.
    """
    notice, lie = matter.lots
    wants = jnp.where(matter.has_reason, notice < matter.vigilance, lie < matter.false_dispute)
    ledger, opened = accuse(matter, matter.loser, wants)
    again = matter.again(key, ledger)
    ledger, upheld = hear(ledger, matter, again)
    blocks = jnp.ceil(again.latency / matter.block_time).astype(jnp.int32)
    return Hearing(
        ledger,
        opened,
        upheld & opened,
        jnp.where(opened, 2 * again.executions, 0),
        jnp.where(opened, blocks, 0),
        jnp.int32(0),
        opened & (again.outcome != cone.Outcome.NOT_DRAWN),
    )


def bisection(
    key: Key,
    matter: Matter,
    *,
    watchers: Number = 1.0,
    watching: Number = 1.0,
    censorship: Number = 0.0,
    sybils: Number = 1.0,
    inexact: Number = 0.0,
    steps: Number = 4096.0,
    window: Number = 50.0,
    budget: Number = 40.0,
    judging: Number = 60.0,
) -> Hearing:
    """Any party that recomputes may challenge, and wins over any majority if it is heard in time.

    1. A wrong result is noticed with probability 1 - (1 - p)^h, by h watchers of whom each
       recomputes with probability p. The first honest node that can pay the bond disputes, else the
       loser. A right result the loser disputes with probability `false_dispute`, as ever.
    2. The true claim meets the wrong ones in a tournament (`court.tournament.hold_trial`). It holds
       if it is there (a watcher, or an honest node that voted) and is not censored too long.
    3. With probability `inexact` the step in question is not exact in whole numbers: then a fresh,
       larger set votes on it, as in `revote`.
    4. Bonds, slashes and refunds are the ledger's, as for any dispute.

    Args:
        key: consumed.
        matter: what there is to dispute.
        watchers: h, honest parties that might recompute.
        watching: p, probability that each does.
        censorship: probability that a block keeps all honest messages out.
        sybils: wrong claims.
        inexact: probability that the wrong step is one on which the pool decides.
        steps: of the unit of work.
        window, budget, judging: terms of the court, blocks.
    """
    watch_key, trial_key, step_key, again_key = jax.random.split(key, 4)
    missed = (1.0 - jnp.asarray(watching, jnp.float32)) ** jnp.asarray(watchers, jnp.float32)
    watched = jax.random.uniform(watch_key, dtype=jnp.float32) >= missed
    wants = jnp.where(matter.has_reason, watched, matter.lots[1] < matter.false_dispute)
    ledger, opened = accuse(matter, challenger(matter), wants)
    trial = hold_trial(
        trial_key, sybils=sybils, steps=steps, censorship=censorship,
        window=window, budget=budget, judging=judging,
    )  # fmt: skip
    there = watched | (matter.honest & matter.voters).any()
    again = matter.again(again_key, ledger)
    by_pool = jax.random.uniform(step_key, dtype=jnp.float32) < inexact
    heard = trial.holds & there
    by_pool &= heard  # only who is heard gets as far as the last step
    accepted = jnp.where(by_pool, again.accepted, jnp.where(heard, 0, 1))
    outcome = jnp.where(by_pool, again.outcome, cone.Outcome.NOT_DRAWN)
    passed, _ = books.advance(ledger, matter.rules, blocks=trial.delay)
    ledger = choose(opened, passed, ledger)
    ledger, upheld = hear(ledger, matter, again._replace(accepted=accepted, outcome=outcome))
    return Hearing(
        ledger,
        opened,
        upheld & opened,
        jnp.where(opened, trial.messages, 0),
        jnp.where(opened, trial.delay, 0),
        jnp.where(opened, trial.gas, 0),
        opened & (outcome != cone.Outcome.NOT_DRAWN),
    )


def challenger(matter: Matter) -> jax.Array:
    """[] int32: the first honest node that can pay the bond of a wrong result, else the loser."""
    ledger = matter.ledger
    layout = ledger.layout
    bond = bond_of(jax.tree.map(lambda x: x[matter.job], ledger.jobs), matter.rules)
    nodes = layout.nodes
    able = ledger.registered[nodes] & (ledger.balances[nodes] >= bond)
    able &= matter.honest & ~matter.wrong & matter.has_reason  # nobody accuses itself
    return jnp.where(able.any(), layout.node(jnp.argmax(able)), matter.loser).astype(jnp.int32)


def accuse(matter: Matter, actor: jax.Array, wants: jax.Array) -> tuple[Ledger, jax.Array]:
    """The dispute is opened against a liar, or without reason against a voter.

    Returns:
        The ledger, and [] bool whether there is a dispute: somebody wants one and can pay.
    """
    ledger = matter.ledger
    accused = jnp.argmax(jnp.where(matter.has_reason, matter.wrong, matter.voters))
    opened, receipt = books.open_dispute(
        ledger,
        matter.rules,
        actor=actor,
        job=matter.job,
        accused=ledger.layout.node(accused),
        disputed_round=matter.round,
    )
    disputed = wants & (receipt == books.Reason.OK)
    return choose(disputed, opened, ledger), disputed


def hear(ledger: Ledger, matter: Matter, again: cone.Consensus) -> tuple[Ledger, jax.Array]:
    """Books what was found: liars are slashed, who was outvoted and right is made whole.

    Without a decision the dispute stays open, times out, and the buyer is refunded.

    Args:
        ledger: with the dispute; without one nothing happens.
        matter: what was disputed; nobody `wrong`: a false dispute.
        again: accepted 0 the truth, > 0 a lie, -1 nothing; outcomes of who executed again.

    Returns:
        The ledger and whether the dispute, if there is one, is upheld.
    """
    upheld = jnp.where(matter.has_reason, again.accepted == 0, again.accepted > 0)
    won = jnp.where(matter.only_metric, Ruling.REPORT_AGAIN, Ruling.UPHELD)
    outvoted = matter.honest & (ledger.jobs.missed[matter.job] > 0)
    findings = jnp.where(outvoted, Finding.OUTVOTED, again.outcome)
    findings = jnp.where(matter.wrong, Finding.GUILTY, findings)
    resolved, _ = books.resolve_dispute(
        ledger,
        matter.rules,
        actor=ledger.layout.treasury,
        job=matter.job,
        ruling=jnp.where(upheld, won, Ruling.REJECTED),
        findings=jnp.where(upheld, findings, again.outcome),
    )
    return choose(again.accepted >= 0, resolved, ledger), upheld


# `(key, matter, **numbers) -> Hearing`
DISPUTES: dict[str, Dispute] = {"revote": revote, "bisection": bisection}
