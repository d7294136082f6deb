"""The same traces through the slow model and through ledger and votes, the whole state of both."""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import ledger as L
from tests.ledger.traces import INT_MAX, LAYOUT, genesis, random_action, random_world
from tests.ledger.worlds import by_name

NOT_IN_MODEL = {"jobs", "num_nodes", "supply", "votes.points"}
START = by_name(genesis(np.zeros(LAYOUT.num_accounts, np.int32)))
NAMES = sorted(set(START) - NOT_IN_MODEL)


def flat(fields):
    """All state in one vector."""
    xp = np if isinstance(fields["block"], int) else jnp
    return xp.concatenate([xp.asarray(fields[n], int).reshape(-1) for n in NAMES])


def run(chain, laws, actions):
    """After every action its receipt, all invariants, and the whole state."""

    def step(before, action):
        after, reason = L.apply(before, laws, action)
        facts = list(L.invariants(after.ledger, before.ledger).values())
        pairs = zip(jax.tree.leaves(after), jax.tree.leaves(before))
        still = jnp.all(jnp.stack([jnp.all(new == old) for new, old in pairs]))
        facts.append((reason == L.Reason.OK) | still)
        return after, (reason, jnp.stack(facts), flat(by_name(after)))

    return jax.lax.scan(step, chain, actions)


def imagine(draws, world, most=INT_MAX, next_action=random_action):
    """A model after a trace, its actions, receipts, and the whole state after each of them."""
    model, funds = random_world(world, most)
    rows, receipts, states = [], [], [flat(model.everything())]
    for draw in draws:
        rows.append(next_action(draw, model))
        receipts.append(int(model.act(*rows[-1])))
        refused = receipts[-1] != L.Reason.OK
        states.append(states[-1] if refused else flat(model.everything()))
    return model, funds, rows, receipts, np.stack(states[1:])


def where(name):
    """The places of a field in the state."""
    sizes = [np.size(START[n]) for n in NAMES]
    starts = dict(zip(NAMES, np.cumsum([0, *sizes])))
    return slice(starts[name], starts[name] + sizes[NAMES.index(name)])


def name_of(place):
    """The field to which a place in the state belongs."""
    return next(name for name in NAMES if place < where(name).stop)
