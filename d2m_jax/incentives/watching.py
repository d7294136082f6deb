"""Does anybody watch? The verifier's dilemma in closed form, per unit of work. Pure, on the host.

Each of h watchers recomputes with probability p at a cost; who finds a wrong result is paid, by one
of three schemes: a prize for one of the finders, a jackpot that halves with each of them, or what
two verdicts on the same units tell of each other. If nothing is ever wrong nobody is paid, so
nobody watches, so lying pays: errors that are planted on purpose break the circle. After Teutsch
and Reitwiessner 2017 (TrueBit, forced errors); the formulas are ours. The game:
`audit/games.py::watch_game`.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

Share: TypeAlias = Callable[[float, int], float]  # (p, h) -> what a finder expects of the prize


class Dilemma(NamedTuple):
    """Where watchers and a liar that both know the other's rate end."""

    watching: float  # p, probability that each watcher recomputes a unit
    lying: float  # r, probability that the liar lies in a unit
    survival: float  # probability that a unit is wrong and nobody notices
    cost: float  # prizes for planted errors, units of money per unit of work


def prize_share(watching: float, watchers: int) -> float:
    """E[1 / (1 + K)], K ~ Binomial(h - 1, p): what a finder expects of the prize.

    (1 - (1 - p)^h) / (h p); 1 for p = 0.
    """
    if watching <= 0:
        return 1.0
    return (1 - (1 - watching) ** watchers) / (watchers * watching)


def jackpot_share(watching: float, watchers: int) -> float:
    """E[2^-K], K ~ Binomial(h - 1, p): a finder's part where each of k gets V / 2^(k - 1).

    (1 - p / 2)^(h - 1). An owner that finds once and claims under m names gets m 2^(1 - m) times as
    much: never more than under one. Source: Teutsch and Reitwiessner 2017, the jackpot J / 2^(k-1)
    (as cited by arXiv 1806.11476).
    """
    return (1 - watching / 2) ** (watchers - 1)


SHARES: dict[str, Share] = {"first": prize_share, "jackpot": jackpot_share}


def peer_threshold(wrong: float, scale: float, cost: float) -> float:
    """p of the peer above which watching pays under correlated agreement; above 1: never.

    A verdict made without looking is "right". Against a peer that looks with probability p the pay
    of `peers.agreement_pay` is scale 2 p rho (1 - rho) for who looks and 0 for who does not, so
    p = w / (2 scale rho (1 - rho)): a threshold, not a resting point. Below it nobody looks in the
    end, above it everybody does. Peer prediction for verifiers: arXiv 2406.01794; the scoring is
    ours (correlated agreement).

    Args:
        wrong: rho in (0, 1), share of units that are wrong, planted or not.
        scale: units of money for a score of one.
        cost: w, of recomputing a unit.
    """
    return cost / (2 * scale * wrong * (1 - wrong))


def watching_of(
    wrong: float, prize: float, cost: float, watchers: int, share: Share = prize_share
) -> float:
    """p at which watching pays exactly its cost: the root of rho V share(p, h) = w.

    0 if rho V <= w (not even a lone watcher is paid), 1 if rho V share(1, h) >= w. For the jackpot
    it is 2 (1 - (w / (rho V))^(1 / (h - 1))).

    Args:
        wrong: rho, share of units that are wrong, planted or not.
        prize: V.
        cost: w, of recomputing a unit.
        watchers: h.
        share: what a finder expects of the prize, falling in p.
    """
    if wrong * prize <= cost:
        return 0.0
    if wrong * prize * share(1.0, watchers) >= cost:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):  # the share falls with p
        middle = (low + high) / 2
        pays = wrong * prize * share(middle, watchers) > cost
        low, high = (middle, high) if pays else (low, middle)
    return (low + high) / 2


def deterring(gain: float, loss: float, watchers: int) -> float:
    """Least p at which lying does not pay: (1 - p)^h (G + L) = L.

    Args:
        gain: G, of a lie that survives.
        loss: L, of one that does not.
        watchers: h.
    """
    return 1 - (loss / (gain + loss)) ** (1 / watchers)


def planted_rate(
    gain: float,
    loss: float,
    prize: float,
    cost: float,
    watchers: int,
    share: Share = prize_share,
) -> float:
    """Least share of units to plant an error in, so that watchers deter the liar; above 1: none.

    q = w / (V share(p, h)) at the deterring p: exactly the rate at which a liar would lie if
    nobody planted. If a share c of the planted errors is betrayed to a friend who takes the prize,
    q / (1 - c).
    """
    return cost / (prize * share(deterring(gain, loss, watchers), watchers))


def dilemma(
    gain: float,
    loss: float,
    prize: float,
    cost: float,
    watchers: int,
    planted: float = 0.0,
    share: Share = prize_share,
) -> Dilemma:
    """The equilibrium of h watchers and a liar.

    With planted < `planted_rate` the liar adds as many lies as make watching pay at the deterring
    p, and a share L / (G + L) of them survives: never 0. With more, watchers watch more than it
    takes to deter, and nobody lies. If even lies in all units do not pay the watchers, it lies
    always.

    Args:
        gain: of a lie that survives, to the liar.
        loss: of one that is found.
        prize: of who finds a wrong unit.
        cost: of recomputing one.
        watchers: h.
        planted: share of the units in which an error is planted.
        share: what a finder expects of the prize.
    """
    need = planted_rate(gain, loss, prize, cost, watchers, share)
    if planted >= need:
        p = watching_of(planted, prize, cost, watchers, share)
        return Dilemma(p, 0.0, 0.0, planted * prize * watchers * p * share(p, watchers))
    most = watching_of(1.0, prize, cost, watchers, share)
    p = deterring(gain, loss, watchers) if need <= 1 else most
    lying = min((need - planted) / (1 - planted), 1.0) if planted < 1 else 0.0
    missed, paid = (1 - p) ** watchers, watchers * p * share(p, watchers)
    return Dilemma(p, lying, (1 - planted) * lying * missed, planted * prize * paid)
