"""Epsilon of every seller, by the library dp-accounting (host). Read first: `dp.py`."""

import functools
import math
from collections.abc import Sequence

import dp_accounting
import numpy as np
from dp_accounting import pld, rdp

ACCOUNTANTS = ("pld", "rdp")


def epsilons(
    participations: Sequence[int] | np.ndarray,
    sizes: Sequence[int] | np.ndarray,
    *,
    unit: str,
    batch_size: int,
    noise: float,
    delta: float = 1e-5,
    accountant: str = "pld",
) -> np.ndarray:
    """(epsilon, delta) privacy of every seller after its participations, [N] float64.

    "example": Poisson batches with q = min(1, batch_size / size), adding or leaving out one
    example. "update": the Gaussian mechanism, adding or leaving out the seller in a round.

    Args:
        participations: [N] rounds in which each seller trained.
        sizes: [N] examples of each.
        unit: "example" or "update".
        batch_size: expected batch.
        noise: multiplier.
        delta: of the guarantee, in (0, 1).
        accountant: "pld" (tight) or "rdp".

    Raises:
        ValueError: a number out of range or an unknown name.
    """
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
    return np.array(
        [
            _epsilon(
                int(times),
                min(1.0, batch_size / max(int(size), 1)) if unit == "example" else 1.0,
                float(noise),
                float(delta),
                accountant,
            )
            for times, size in zip(participations, sizes, strict=True)
        ]
    )


@functools.lru_cache(maxsize=4096)
def _epsilon(times: int, chance: float, noise: float, delta: float, accountant: str) -> float:
    if times == 0:
        return 0.0
    if noise == 0:
        return math.inf
    event: dp_accounting.DpEvent = dp_accounting.GaussianDpEvent(noise)
    if chance < 1:
        event = dp_accounting.PoissonSampledDpEvent(chance, event)
    # whole orders suffice above small noise, and spare the library a slow series
    orders = [*range(2, 64), 96, 128, 256, 512]
    ledger = pld.PLDAccountant() if accountant == "pld" else rdp.RdpAccountant(orders)
    ledger.compose(dp_accounting.SelfComposedDpEvent(event, times))
    return float(ledger.get_epsilon(delta))


def zcdp_epsilon(participations: int, noise: float, delta: float) -> float:
    """eps = T rho + 2 sqrt(T rho ln(1/delta)), rho = 1 / (2 noise^2): without sampling, by hand.

    Source: Bun and Steinke 2016, proposition 1.3. An upper bound of the library's figure.
    """
    rho = participations / (2 * noise**2)
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))
