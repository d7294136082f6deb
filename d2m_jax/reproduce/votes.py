"""How likely a wrong result is accepted in a market of an experiment: exact, not simulated."""

import dataclasses
import math
from typing import Any

import pandas as pd

from d2m_jax.cone import ConeParams
from d2m_jax.cone.exact import exact_vote
from d2m_jax.config.shares import rounded
from d2m_jax.reproduce.cases import NODES

SHARES = (0.1, 0.2, 0.3, 0.4)


def vote_table(base: dict[str, Any], shares: tuple[float, ...] = SHARES) -> pd.DataFrame:
    """Exact probabilities of the votes of a market, a row per share of bad nodes.

    One vote per round and one for the verdict, each by all nodes, seats drawn anew. Slashed nodes
    leave the pool later, which only helps the honest, so `market` is an upper bound there.

        market = 1 - (1 - vote)^(rounds + 1)

    Args:
        base: configuration of an experiment; its stop rule, schedule and numbers of CONE.
        shares: of bad nodes, rounded to whole nodes.

    Returns:
        bad nodes, vote (they collude), adaptive (they lie only where that wins at once), market
        (the larger of the two, over all votes), undecided, executions (mean, of a vote).
    """
    spec, numbers = base["spec"], base["hparams"]["cone"]
    fields = {field.name for field in dataclasses.fields(ConeParams)}
    params = ConeParams(**{name: value for name, value in numbers.items() if name in fields})
    rows = []
    for share in shares:
        bad = rounded(share, NODES)
        votes = [
            exact_vote(
                NODES, bad, params, schedule=spec["set_schedule"], stop_rule=spec["stop_rule"],
                sortition=spec["sortition"], adaptive=adaptive,
            )
            for adaptive in (False, True)
        ]  # fmt: skip
        worst = max(vote.error for vote in votes)
        rows.append(
            {
                "bad nodes": f"{bad} of {NODES}",
                "vote": votes[0].error,
                "adaptive": votes[1].error,
                "market": at_least_once(worst, spec["num_rounds"] + 1),
                "undecided": votes[0].undecided,
                "executions": votes[0].mean_executions,
            }
        )
    return pd.DataFrame(rows)


def at_least_once(chance: float, times: int) -> float:
    """1 - (1 - chance)^times, exact for a tiny chance."""
    return -math.expm1(times * math.log1p(-chance)) if chance < 1 else 1.0
