"""Epsilon of every seller (host): closed forms, and the library dp-accounting.

Two figures. Ex post: over the rounds in which a seller was drawn. A sampler that learns draws by
what sellers sent, so that number itself may depend on their data. A priori: over all rounds, which
holds whoever is drawn. The noise is that of `noise.py`; `sampling_delta` there says what its random
bits add to delta. Read first: `dp.py`.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from d2m_jax.core.types import Number

ACCOUNTANTS = ("pld", "rdp", "gaussian")
LARGEST_PLD = 250.0  # epsilon up to which a distribution of privacy losses is composed


class Epsilons(NamedTuple):
    """The guarantee of every seller."""

    values: np.ndarray  # [N] float64
    accountants: tuple[str, ...]  # [N] how each was found, of `ACCOUNTANTS`; "none" without noise


def epsilons(
    participations: Sequence[int] | np.ndarray,
    sizes: Sequence[int] | np.ndarray,
    *,
    unit: str,
    batch_size: int,
    noise: Number,
    delta: Number = 1e-5,
    accountant: str = "pld",
) -> Epsilons:
    """(epsilon, delta) privacy of every seller after its participations (ex post).

    "example": Poisson batches with q = min(1, batch_size / size), adding or leaving out one
    example. "update": the Gaussian mechanism, adding or leaving out the seller in a round.

    Without sampling (q = 1) "pld" is the closed form of the Gaussian mechanism, which is exact.
    Where little noise makes the distributions of "pld" too large (epsilon about 250 and more), the
    closed form takes their place: an upper bound. `accountants` says which was taken.

    Args:
        participations: [N] rounds in which each seller trained, see `participations_of`.
        sizes: [N] examples of each.
        unit: "example" or "update".
        batch_size: expected batch.
        noise: multiplier.
        delta: of the guarantee, in (0, 1).
        accountant: "pld" (tight), "rdp", or "gaussian" (closed form, an upper bound).

    Raises:
        ValueError: a number out of range or an unknown name.
    """
    noise, delta = float(noise), float(delta)
    if unit not in ("example", "update"):
        raise ValueError(f"unknown unit {unit!r} of privacy; valid: example, update")
    if accountant not in ACCOUNTANTS:
        raise ValueError(f"unknown accountant {accountant!r}; valid: {', '.join(ACCOUNTANTS)}")
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise multiplier must be a number from 0 up, not {noise}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie between 0 and 1, not {delta}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if unit == "example" and any(t > 0 and s < 1 for t, s in zip(participations, sizes)):
        raise ValueError("a seller that trained must hold at least 1 example, got a size below 1")
    found = [
        _epsilon(
            int(times),
            min(1.0, batch_size / max(int(size), 1)) if unit == "example" else 1.0,
            noise,
            delta,
            accountant,
        )
        for times, size in zip(participations, sizes, strict=True)
    ]
    return Epsilons(np.array([value for value, _ in found]), tuple(how for _, how in found))


def epsilons_a_priori(
    num_rounds: int,
    sizes: Sequence[int] | np.ndarray,
    *,
    unit: str,
    batch_size: int,
    noise: Number,
    delta: Number = 1e-5,
    accountant: str = "pld",
) -> Epsilons:
    """As `epsilons`, for a seller that is drawn in every round: known before the first one.

    Args:
        num_rounds: R.
        sizes, unit, batch_size, noise, delta, accountant: as for `epsilons`.
    """
    return epsilons(
        [num_rounds] * len(sizes),
        sizes,
        unit=unit,
        batch_size=batch_size,
        noise=noise,
        delta=delta,
        accountant=accountant,
    )


def participations_of(sellers: np.ndarray, present: np.ndarray, num_sellers: int) -> np.ndarray:
    """[N] rounds in which each seller was drawn and delivered.

    Copies of one draw are one seller: it sends one update, so a round counts once.

    Args:
        sellers: [R, S] indices drawn, with or without repeats.
        present: [R, S] bool.
        num_sellers: N.
    """
    rounds, places = np.nonzero(np.asarray(present, bool))
    taken = np.zeros((len(sellers), num_sellers), bool)
    taken[rounds, np.asarray(sellers)[rounds, places]] = True
    return taken.sum(0)


@functools.lru_cache(maxsize=4096)
def _epsilon(
    times: int, chance: float, noise: float, delta: float, accountant: str
) -> tuple[float, str]:
    if times == 0:
        return 0.0, "none"
    if noise == 0:
        return math.inf, "none"
    bound = sampled_gaussian_epsilon(times, chance, noise, delta)
    if accountant == "gaussian" or (accountant == "pld" and chance == 1):
        return bound, "gaussian"
    if accountant == "rdp":
        return _library(times, chance, noise, delta, None), "rdp"
    single = 1 / (2 * noise**2) + 10 / noise  # how far one privacy loss reaches
    if max(bound, single) > LARGEST_PLD:
        return bound, "gaussian"
    interval = max(1e-4, (bound + single) * 2.0**-17)
    value = _library(times, chance, noise, delta, interval)
    return (value, "pld") if value <= bound else (bound, "gaussian")


def _library(
    times: int, chance: float, noise: float, delta: float, interval: float | None
) -> float:
    """By dp-accounting: privacy losses rounded up to `interval`, or Renyi orders for None."""
    import dp_accounting  # takes long to load
    from dp_accounting import pld, rdp

    event: dp_accounting.DpEvent = dp_accounting.GaussianDpEvent(noise)
    if chance < 1:
        event = dp_accounting.PoissonSampledDpEvent(chance, event)
    # whole orders suffice above small noise, and spare the library a slow series
    orders = [*range(2, 64), 96, 128, 256, 512]
    ledger = (
        rdp.RdpAccountant(orders)
        if interval is None
        else pld.PLDAccountant(value_discretization_interval=interval)
    )
    ledger.compose(dp_accounting.SelfComposedDpEvent(event, times))
    return float(ledger.get_epsilon(delta))


def gaussian_epsilon(times: int, noise: float, delta: float) -> float:
    """Epsilon of `times` Gaussian mechanisms, exactly: without sampling.

    The root of `Phi(m/2 - e/m) - exp(e) Phi(-m/2 - e/m) = delta` with m = sqrt(times) / noise.
    Source: Balle and Wang 2018, theorem 8.

    Args:
        times: releases.
        noise: multiplier, above 0.
        delta: in (0, 1).
    """
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    mu = math.sqrt(times) / noise

    def gap(epsilon: float) -> float:
        near, far = log_ndtr(mu / 2 - epsilon / mu), log_ndtr(-mu / 2 - epsilon / mu)
        return math.exp(near) - math.exp(min(epsilon + far, 0.0)) - delta

    if times == 0 or gap(0.0) <= 0:
        return 0.0
    return float(brentq(gap, 0.0, zcdp_epsilon(times, noise, delta), xtol=1e-12, rtol=1e-12))


def sampled_gaussian_epsilon(times: int, chance: float, noise: float, delta: float) -> float:
    """An upper bound of epsilon with Poisson sampling, in closed form.

    An example is in at most k of the batches but with probability delta / 2, k the quantile of
    Binomial(times, chance); given which, the k noisy sums are Gaussian mechanisms at delta / 2 (our
    choice of the halves). Without sampling it is exact.

    Args:
        times: rounds.
        chance: q of an example to be in a batch.
        noise: multiplier, above 0.
        delta: in (0, 1).
    """
    whole = gaussian_epsilon(times, noise, delta)
    if chance >= 1:
        return whole
    from scipy.stats import binom

    most = int(binom.isf(delta / 2, times, chance))
    return min(whole, gaussian_epsilon(most, noise, delta / 2))


def zcdp_epsilon(participations: int, noise: float, delta: float) -> float:
    """eps = T rho + 2 sqrt(T rho ln(1/delta)), rho = 1 / (2 noise^2): an upper bound by hand.

    Without sampling; where the search for the exact figure begins. Source: Bun and Steinke 2016,
    proposition 1.3.
    """
    rho = participations / (2 * noise**2)
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))
