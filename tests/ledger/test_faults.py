"""Would it be noticed? Small faults are seeded in the ledger, one at a time: traces find each."""

import functools
import inspect

import jax
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.ledger import (
    cases,
    disputes,
    machine,
    overturn,
    rounds,
    settlement,
    verification,
)
from d2m_jax.ledger.codes import Kind, Phase
from tests.ledger.replay import imagine, run
from tests.ledger.traces import FIELDS, batch, genesis, laws_of, random_action, seeded_draw

pytestmark = pytest.mark.slow

NUM_TRACES, PART, NUM_STEPS = 240, 80, 160

FAULTS = {
    "who voted for what is void is paid": (
        (rounds, "judge"),
        "jnp.where(void, Outcome.WRONG, Outcome.MATCHED)",
        "Outcome.MATCHED",
    ),
    "the verification of another model counts": (
        (verification, "judge"),
        "void = ~none & (misfit | unopened)",
        "void = ~none & unopened",
    ),
    "an old decision is booked again": (
        (rounds, "judge"),
        "decision.is_over & (decision.serial == row.serial)",
        "decision.is_over",
    ),
    "a content is waited for one block too long": (
        (rounds, "judge"),
        ">= rules.content_window",
        "> rules.content_window",
    ),
    "a slash is a share of what is left": (
        (rounds, "book_outcomes"),
        "loss = slashed(row, severity)",
        "loss = mul_bps(row.pledged, severity)",
    ),
    "who was silent is slashed as if it had lied": (
        (rounds, "book_outcomes"),
        "jnp.where(outcomes == Outcome.SILENT, rules.slash_silent_bps, severity)",
        "jnp.where(outcomes == Outcome.SILENT, rules.slash_wrong_bps, severity)",
    ),
    "a job stops early before its examples are open": (
        Kind.BOOK_ROUND,
        "stops = row.opened & (judged.result != 0)",
        "stops = (judged.result != 0)",
    ),
    "a verification without a result moves the time-out": (
        Kind.BOOK_VERIFICATION,
        "since=jnp.where(has_result, ledger.block, row.since)",
        "since=ledger.block",
    ),
    "who was right stays slashed": (
        (overturn, "amend"),
        "back = jnp.where(sides.right,",
        "back = jnp.where(sides.right & sides.guilty,",
    ),
    "the guilty keep what they earned": (
        (overturn, "amend"),
        "gone = jnp.where(sides.guilty, row.earned, 0)",
        "gone = jnp.zeros_like(row.earned)",
    ),
    "the prize may pass the bond": (
        (disputes, "overturn"),
        "prize = jnp.minimum(left, row.bond)",
        "prize = left",
    ),
    "the guilty are not banned": (
        (disputes, "overturn"),
        "set(banned | (sides.guilty & is_proven))",
        "set(banned)",
    ),
    "who was only not answered for is banned": (
        (disputes, "overturn"),
        "(sides.guilty & is_proven)",
        "sides.guilty",
    ),
    "the prize is that of who opened the case": (
        (disputes, "overturn"),
        "jnp.where(row.finder >= 0, row.finder, row.disputer)",
        "row.disputer",
    ),
    "what has fallen is ended by the time-out": (
        Kind.TIME_OUT,
        "(ledger.block - row.ruled >= rules.content_window) & row.stood",
        "(ledger.block - row.ruled >= rules.content_window)",
    ),
    "what has fallen is booked without a content at once": (
        Kind.BOOK_CASE,
        "(Reason.TOO_EARLY, waits)",
        "(Reason.TOO_EARLY, waits & False)",
    ),
    "the guilty are also slashed for executing again": (
        (disputes, "overturn"),
        "jnp.where(sides.guilty, Outcome.NOT_DRAWN, judged.outcomes)",
        "judged.outcomes",
    ),
    "a model that is spoilt is sold": (
        (disputes, "overturn"),
        "spoilt=row.spoilt | spoils",
        "spoilt=row.spoilt",
    ),
    "of a lost bond the wrong part is burned": (
        (disputes, "_kept"),
        "row.bond - total(pay)",
        "total(pay)",
    ),
    "a second dispute finds the first papers": (
        (disputes, "book_found"),
        "where, written, decision)",
        "where, written, replace(decision, papers=read(row.papers, row.disputed_unit)))",
    ),
    "what the guilty lost is never burned": (
        (settlement, "finish"),
        "jnp.minimum(rest, mul_bps(row.compensation, rules.burn_bps))",
        "0 * rest",
    ),
    "sellers of a spoilt job get more than their pool": (
        (settlement, "spoilt_pay"),
        "jnp.minimum(row.forfeited, row.seller_pool)",
        "row.forfeited",
    ),
    "harm in a spoilt model is punished": (
        (settlement, "punish"),
        "row.excluded & ~row.spoilt",
        "row.excluded",
    ),
    "a time-out leaves the sellers of a spoilt job unpaid": (
        Kind.TIME_OUT,
        "jnp.where(row.spoilt, spoilt_pay(row), 0)",
        "0",
    ),
    "who shows any content books it": (
        (cases, "is_found"),
        "(mix_all(content) == row.ruling)",
        "(row.ruling == row.ruling)",
    ),
    "a ruling of an earlier case is booked": (
        Kind.OPEN_DISPUTE,
        "ruled=integer(NOBODY)",
        "ruled=row.ruled",
    ),
    "the time-out does not wait for the court": (
        Kind.TIME_OUT,
        "            (Reason.TOO_EARLY, in_court & ~is_heard),\n",
        "",
    ),
    "every reveal makes the offers anew": (
        Kind.REVEAL,
        "jnp.where(row.frozen, row.offered, offers(ledger, rules, row.since))",
        "offers(ledger, rules, row.since)",
    ),
    "a job begins with fewer nodes than it needs": (
        Kind.CLOSE_AUCTION,
        "(nodes >= jnp.maximum(rules.min_nodes, 1))",
        "(nodes >= 1)",
    ),
    "serials begin anew with the slot": (
        Kind.RESET_JOB,
        "vars(replace(idle, serial=row.serial))",
        "vars(idle)",
    ),
    "a spoilt model is taken": (Kind.TAKE, "~is_missed(row) | row.spoilt", "~is_missed(row)"),
    "any digest can be disputed, also none": (
        Kind.OPEN_DISPUTE,
        "~is_unit | (read(row.results, unit) == 0)",
        "~is_unit",
    ),
    "who is banned votes on": (
        (machine, "electorate"),
        "ledger.registered[span] & ~ledger.banned[span]",
        "ledger.registered[span]",
    ),
    "the verification begins before the examples are open": (
        (machine, "wanted"),
        "(row.phase == Phase.VERIFY) & row.opened",
        "(row.phase == Phase.VERIFY)",
    ),
}


def function_at(place):
    """The function of a kind of action, or the one that a module knows by a name."""
    return machine.LEDGER_MOVES[place][0] if isinstance(place, Kind) else getattr(*place)


def broken(place, old, new):
    """The function with the fault; all that it calls is sound."""
    good = function_at(place)
    source = inspect.getsource(good)
    assert source.count(old) == 1, old
    space = dict(inspect.getmodule(good).__dict__)
    exec(source.replace(old, new), space)
    return space[good.__name__]


BROKEN = [broken(*fault) for fault in FAULTS.values()]


def either(acts, bad, good):
    """A function that has the fault if `acts`."""

    def chosen(*args, **options):
        return jax.lax.cond(acts, lambda: bad(*args, **options), lambda: good(*args, **options))

    return chosen


@functools.cache
def seeded():
    """Ledger and votes with all faults in them; which of them acts is the first argument."""

    def play(which, *world):
        with pytest.MonkeyPatch.context() as patch:
            for index, ((place, *_), bad) in enumerate(zip(FAULTS.values(), BROKEN)):
                changed = either(which == index, bad, function_at(place))
                if isinstance(place, Kind):
                    fields = machine.LEDGER_MOVES[place][1]
                    patch.setitem(machine.LEDGER_MOVES, place, (changed, fields))
                else:
                    patch.setattr(*place, changed)
            return run(*world)

    return jax.jit(jax.vmap(play, in_axes=(None, 0, 0, 0)))


def hurried(draw, model):
    """A random action; but where a dispute takes too long somebody tries to end the job."""
    action = dict(zip(FIELDS, random_action(draw, model)))
    disputed = [i for i, job in enumerate(model.jobs) if is_endless(model, job)]
    if not disputed or draw(0, 3):
        return tuple(action.values())
    rest = model.jobs[disputed[0]].since + model.rules["timeout"] - model.block
    kind = Kind.WAIT if rest > 0 else Kind.TIME_OUT
    action |= {"kind": kind, "actor": 0, "job": disputed[0], "amount": max(rest, 0)}
    return tuple(action.values())


def is_endless(model, job):
    """Whether a case of the job is open before the court, or its spoilt model is voted on again."""
    in_court = bool(model.rules["bisection"])
    return job.phase == Phase.DISPUTED and (job.ruled < 0 if in_court else job.spoilt)


@functools.cache
def games(part):
    """What the machine needs to play a part of the traces, and what the slow model did."""
    draws = [seeded_draw(seed) for seed in range(part * PART, (part + 1) * PART)]
    played = [imagine([draw] * NUM_STEPS, draw, next_action=hurried) for draw in draws]
    models, funds, rows, receipts, states = zip(*played)
    chains = jax.jit(jax.vmap(genesis))(np.asarray(funds, np.int32))
    return (chains, laws_of(models), batch(rows)), (np.asarray(receipts), np.stack(states))


def departs(which):
    """Whether a machine with this fault (-1: none) departs from the slow model in some trace.

    Most faults are found in the first part of the traces.
    """

    def departs_in(part):
        world, (receipts, states) = games(part)
        _, (reasons, _, moved) = jax.device_get(seeded()(np.int32(which), *world))
        return not (np.array_equal(reasons, receipts) and np.array_equal(moved, states))

    return any(departs_in(part) for part in range(NUM_TRACES // PART))


@pytest.mark.parametrize("index", range(len(FAULTS)), ids=list(FAULTS))
def test_a_fault_is_caught(index):
    assert departs(index)


def test_without_a_fault_nothing_is_caught():
    assert not departs(-1)
    assert len(FAULTS) >= 12 and L.Kind is Kind
