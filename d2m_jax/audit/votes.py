"""Votes of the best-response audit: single nodes and coalitions of nodes.

No learning here. Read first: `games.py`. Not here: auctions (`auctions.py`),
whole markets (`markets.py`).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import hypergeom

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.audit import deviations, games
from d2m_jax.audit.profiles import OTHERS
from d2m_jax.audit.settings import Stage, keys_of
from d2m_jax.cone import Behaviour
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.types import Key
from d2m_jax.incentives import best_response as br

NODE_STRATEGIES = {
    "honest": Behaviour.HONEST,
    "collude": Behaviour.COLLUDE,
    "random digest": Behaviour.LONE_LIAR,
    "silent": Behaviour.SILENT,
    "copy": Behaviour.COPY,
    "adaptive": Behaviour.ADAPTIVE,
}


def vote_runner(spec: Spec, hparams: HParams, rules: books.Rules) -> Callable:
    """(behaviour [C], stake, key) -> NodeGame with the market's own vote, jitted over seeds."""
    options = {
        "schedule": spec.set_schedule,
        "stop_rule": spec.stop_rule,
        "sortition": spec.sortition,
        "rice": spec.rice,
    }
    vigilance = hparams.conduct.vigilance

    def one(behaviour: jax.Array, stake: int, key: Key) -> games.NodeGame:
        return games.node_game(
            key, behaviour, hparams.cone, rules, stake, vigilance,
            num_rounds=spec.num_rounds, price=int(max(hparams.money.buyer_values)), options=options,
        )  # fmt: skip

    return jax.jit(jax.vmap(one, (0, None, 0)))


def audit_nodes(stage: Stage, spec: Spec, hparams: HParams) -> None:
    """One node deviates for a whole job; the best deviation again in 16 times as many jobs."""
    audit, progress, settings = stage
    seeds, stake = settings.votes, hparams.money.node_stake
    run = vote_runner(spec, hparams, books.make_rules(**hparams.rules))

    def play(game: str, names: Sequence[str], parts: int, salt: int) -> None:
        if audit.has(game):
            return
        keys, crowd_keys = keys_of(parts * seeds, salt), keys_of(parts * seeds, salt + 1)
        profiles = {"random": wild(crowd_keys, spec.num_nodes)}
        profiles["honest"] = jnp.zeros_like(profiles["random"])
        pay = {others: np.empty((len(names), parts * seeds)) for others in OTHERS}
        cells = [(o, i, part) for o in OTHERS for i in range(len(names)) for part in range(parts)]
        for others, i, part in progress.track(cells, description="nodes"):
            who = slice(part * seeds, (part + 1) * seeds)
            behaviour = profiles[others][who].at[:, 0].set(int(NODE_STRATEGIES[names[i]]))
            done = run(behaviour, stake, keys[who])
            pay[others][i, who] = done.money[:, 0] - settings.execution_cost * done.executed[:, 0]
        audit.add(game, list(names), pay)
        audit.keep()

    play("node, whole job", list(NODE_STRATEGIES), 1, 2)
    best = audit.best("node, whole job")[0]
    play(f"node, whole job, {best} in {16 * seeds:,} new jobs", ["honest", best], 16, 12)


def wild(keys: jax.Array, num_nodes: int) -> jax.Array:
    """[K, C] behaviour of the others where they play at random."""
    bad = jnp.asarray(list(NODE_STRATEGIES.values())[1:], jnp.int32)
    return jax.vmap(lambda key: deviations.random_others(key, num_nodes, bad))(keys)


def audit_coalitions(stage: Stage, spec: Spec, hparams: HParams) -> None:
    """k nodes collude, all others honest or random; and the stake that deters them."""
    audit, progress, settings = stage
    seeds = settings.votes
    run = vote_runner(spec, hparams, books.make_rules(**{**hparams.rules, "node_stake": 1}))
    keys, nodes, stake = keys_of(seeds, 4), spec.num_nodes, hparams.money.node_stake
    sizes = sorted(
        {max(1, round(nodes * share)) for share in (0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55)}
    )
    crowd = wild(keys_of(seeds, 5), nodes)
    for size in progress.track(sizes, description="coalitions"):
        game = f"coalition of {size} of {nodes} nodes"
        if audit.has(game):
            continue
        member = jnp.arange(nodes) < size
        table = {}
        for others in OTHERS:
            start = crowd if others == "random" else jnp.zeros_like(crowd)
            rows = []
            for code in (Behaviour.HONEST, Behaviour.COLLUDE):
                played = jax.device_get(
                    run(jnp.where(member, code, start).astype(jnp.int32), stake, keys)
                )
                paid = played.money - settings.execution_cost * played.executed
                rows.append((paid[:, :size].mean(1), (played.wins[:, :size] > 0).mean(1) / size))
            table[others] = [np.stack(part) for part in zip(*rows)]  # pay and share of G, [2, K]
        for gain in (0.0, settings.outside_gain):
            named = game + (f", G = {gain:,.0f}" if gain else "")
            paid = {others: pay + gain * share for others, (pay, share) in table.items()}
            audit.add(named, ["honest", "collude"], paid)
        audit.keep()
    repair_votes(stage)


def repair_votes(stage: Stage) -> None:
    """Stake that deters collusion in one vote of 3 of 24, where everything is known exactly."""
    audit, progress, settings = stage
    rules = books.make_rules(node_stake=1, reward_cap=1_000)
    keys, pool, scale = keys_of(4 * settings.votes, 6), 24, 100_000

    @jax.jit
    def run(size: int, code: int, stake: int) -> jax.Array:
        member = jnp.arange(pool) < size
        behaviour = jnp.where(member, code, 0).astype(jnp.int32)

        def one(key: Key) -> jax.Array:
            game = games.node_game(
                key, behaviour, cone.ConeParams(size=3), rules, stake, 0.0,
                num_rounds=1, options={"schedule": "fixed", "stop_rule": "majority_last"},
                votes_on_metric=False,
            )  # fmt: skip
            worth = game.money - settings.execution_cost * game.executed
            worth += settings.outside_gain / 10 * game.wins
            return jnp.where(member, worth, 0.0).sum()

        return jax.vmap(one)(keys)

    for size in progress.track((2, 4, 6, 8), description="stakes"):
        game = f"{size} of 24 collude, one set of 3"
        if audit.has(game):
            continue
        seats, drawn = hypergeom(pool, size, 3), np.arange(4)
        error = (drawn * seats.pmf(drawn) * (drawn >= 2)).sum() / seats.mean()
        closed = br.node_stake_bound(
            error, 1_000, settings.outside_gain / 10, settings.execution_cost
        )
        small, large = (
            np.asarray(run(size, Behaviour.COLLUDE, at)) - np.asarray(run(size, 0, at))
            for at in (1, scale)
        )
        solved = br.break_even(small, large, scale - 1, settings.confidence)
        audit.repair(game, "node stake", solved, closed)
        audit.keep()
