"""The job of a market as a list of steps, in words. Host only."""

import math
from typing import NamedTuple

from d2m_jax.report.page.market_data import Run

GOOD, BAD, PLAIN = "good", "bad", "plain"


class Step(NamedTuple):
    """One step of the job."""

    title: str
    said: str
    tone: str  # GOOD, BAD or PLAIN: how the page marks it, beside the words


def story(run: Run) -> list[Step]:
    """The steps of the job from the auction to the account."""
    steps = [auction(run)]
    if run.closing["phase"] == "idle":
        return steps
    steps.append(matching(run))
    if run.closing["phase"] == "aborted":
        return [*steps, ending(run)]
    return [*steps, training(run), votes(run), verification(run), dispute(run), ending(run)]


def auction(run: Run) -> Step:
    """Who bid, who won, at which price."""
    bids = run.closing["num_bids"]
    if run.closing["buyer"] < 0 or not run.closing["price"]:
        return Step("Auction", f"{bids} accepted bids; nobody won.", BAD)
    price = "second" if run.closing["second_price"] else "first"
    way = str(run.config["spec"]["auction"]).replace("_", " ").capitalize()
    said = (
        f"{way} auction: {bids} accepted bids by {len(run.auction)} buyers. Buyer "
        f"{run.closing['buyer']} wins and pays {run.closing['price']:,}, the {price} price, which "
        "the ledger holds."
    )
    return Step("Auction", said, PLAIN)


def matching(run: Run) -> Step:
    """How many sellers serve the job."""
    matched = len(run.closing["matched"])
    tone = BAD if run.closing["phase"] == "aborted" else PLAIN
    said = f"{matched} of {len(run.sellers)} sellers carry the tags and consent."
    return Step("Matching", said, tone)


def training(run: Run) -> Step:
    """How good the model got."""
    last = run.evaluations.iloc[-1]
    quality, flagged = run.closing["quality"], int(run.work["flagged"].sum())
    used, size = int(run.work["used"].sum()), run.config["spec"]["num_sampled"]
    said = (
        f"{len(run.rounds)} rounds of {size} sellers each; the defence used {used:,} of "
        f"{len(run.work):,} updates and flagged {flagged:,}. Test {quality} "
        f"{last['test_metric']:.1%} in the end."
    )
    success = run.closing["attack_success"]
    if success is not None:
        said += f" The backdoor opens for {success:.1%} of the triggered test examples."
    return Step("Training", said, PLAIN)


def votes(run: Run) -> Step:
    """What CONE accepted in the rounds."""
    rounds = run.rounds
    wrong, none = (int((rounds["accepted_digest"] * sign > 0).sum()) for sign in (1, -1))
    executions, sets, seconds = (rounds[n].sum() for n in ("executions", "attempts", "latency"))
    said = (
        f"{int(executions):,} executions in {int(sets):,} sets, {sets / len(rounds):.1f} sets a "
        f"round; {float(seconds) / 3600:.1f} hours of simulated time. "
    )
    said += f"{wrong} wrong results accepted" if wrong else "No wrong result accepted"
    said += f", {none} rounds without a result." if none else "."
    return Step("Votes on every round", said, BAD if wrong else GOOD)


def verification(run: Run) -> Step:
    """What CONE said of the metric."""
    closing, quality = run.closing, run.closing["quality"]
    true, tau = closing["metric"], closing["tau"]
    if closing["reported_bps"] < 0:
        return Step("Verification", f"CONE did not decide on the {quality}.", BAD)
    reported = closing["reported_bps"] / 10_000
    reached = "reaches" if reported >= tau else "misses"
    said = f"The {quality} on the buyer's examples is reported as {reported:.2%}, which {reached} "
    said += f"the threshold of {100 * tau:.6g}%."
    if closing["accepted_digest"] > 0:
        return Step("Verification", said + f" That is false: it is {true:.2%}.", BAD)
    return Step("Verification", said, GOOD if reported >= tau else PLAIN)


def dispute(run: Run) -> Step:
    """Whether somebody disputed, and with which end."""
    closing = run.closing
    if not closing["disputed"]:
        return Step("Dispute", "Nobody disputed.", PLAIN)
    who = closing["disputer"] or "somebody"
    over = "a wrong result" if closing["was_true"] else "nothing wrong"
    fate = "upheld" if closing["upheld"] else "rejected"
    said = f"{who.capitalize()} disputed over {over}; the dispute was {fate}"
    said += ", and the metric corrected." if closing["corrected"] else "."
    if closing["messages"]:
        said += f" It took {closing['messages']} messages and {closing['delay']} blocks."
    return Step("Dispute", said, GOOD if closing["upheld"] == closing["was_true"] else BAD)


def ending(run: Run) -> Step:
    """How the money went."""
    closing = run.closing
    parts = [
        f"{closing[name]:,} {to}"
        for name, to in (
            ("seller_paid", "to sellers"),
            ("compute_paid", "to nodes"),
            ("fee_paid", "to the treasury"),
            ("refunded", "back to the buyer"),
        )
        if closing[name]
    ]
    slashed = sum(closing["slashed"])
    said = f"{closing['phase'].capitalize()}: {', '.join(parts) or 'no money moved'}."
    if slashed:
        said += f" {slashed} sellers lose their deposit on evidence of harm."
    settled = closing["phase"] == "settled"
    metric = closing["metric"]
    reached = math.isfinite(metric) and round(1e4 * metric) >= round(1e4 * closing["tau"])
    delivered = settled and reached
    if settled and not delivered:
        said += " The buyer paid for a model below its threshold."
    return Step("Settlement", said, GOOD if delivered else BAD if settled else PLAIN)
