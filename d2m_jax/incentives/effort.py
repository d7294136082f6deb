"""What work costs, and how often it must be checked. Closed forms on the host.

The unit of work is one example-gradient. Measured beside it: `audit/effort.py`.
"""


def gradient_price(training_cost: float, batch_size: int, local_steps: int) -> float:
    """Units of money that one example-gradient costs, where a round of honest work costs so much.

    Args:
        training_cost: units per round, `TRAINING_COST` by default.
        batch_size: examples of a local step.
        local_steps: of a round.

    Raises:
        ValueError: fewer than one example a round.
    """
    if min(batch_size, local_steps) < 1:
        raise ValueError(f"a round has examples and steps, not {batch_size} and {local_steps}")
    return training_cost / (batch_size * local_steps)


def price_that_deters(lost: float, saved: float) -> float:
    """Units per example-gradient up to which working less costs more pay than it saves.

    Args:
        lost: units of pay that working less loses.
        saved: example-gradients that it saves; infinite if none.
    """
    return lost / saved if saved > 0 else float("inf")


def check_rate(pay: float, pay_slack: float, saved: float, deposit: float, rounds: float) -> float:
    """Least probability q of recomputing a round's update at which working less does not pay.

    Who is found out in any of n rounds loses deposit and pay of the job:

        (1 - q)^n (w_s + D) - D + S <= w,  so  q = 1 - ((w - S + D) / (w_s + D))^(1 / n)

    0 where it does not pay anyway; 1 where it pays even if it is always found out, and where there
    is nothing to lose (w_s + D <= 0). That a check never fails honest work is assumed:
    recomputation is exact.

    Args:
        pay: w, of honest work in a job.
        pay_slack: w_s, of working less, unnoticed.
        saved: S, units of work that it saves.
        deposit: D.
        rounds: n, in which the seller is drawn.

    Raises:
        ValueError: no rounds, or a negative deposit.
    """
    if rounds <= 0 or deposit < 0:
        raise ValueError(f"a check needs rounds and a deposit >= 0, not {rounds} and {deposit}")
    if pay_slack + saved <= pay:
        return 0.0
    if pay_slack + deposit <= 0:
        return 1.0
    return 1.0 - (max(pay - saved + deposit, 0.0) / (pay_slack + deposit)) ** (1.0 / rounds)
