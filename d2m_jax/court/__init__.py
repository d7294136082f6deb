"""Disputes by bisection: claims as Merkle roots of checkpoints, a tournament, one step judged.

Read first: `steps.py` (work in exact steps), then `game.py` (the rules), `players.py` (who plays
how), `rounds.py` (a training round as such work) and `tournament.py` (the same for thousands of
worlds, without hashes). The contract is `contracts/D2MCourt.vy`.
"""

from d2m_jax.court.game import Court, Terms
from d2m_jax.court.players import Player, play_case
from d2m_jax.court.rounds import round_work
from d2m_jax.court.steps import Op, Step, Work, run
from d2m_jax.court.tournament import Trial, hold_trial, probability_heard, survival

__all__ = [
    "Court",
    "Op",
    "Player",
    "Step",
    "Terms",
    "Trial",
    "Work",
    "hold_trial",
    "play_case",
    "probability_heard",
    "round_work",
    "run",
    "survival",
]
