"""Random worlds and random traces, mostly legal, that reach every phase and every refusal.

All randomness comes through `draw(low, high)` (both included): of one seed, for thousands of
traces, or of one seed per action, so that hypothesis can leave actions out.
"""

import random

import jax
import numpy as np

from d2m_jax.ledger import DEFAULT_RULES, Action, Kind, Layout, Phase, Rules, new_ledger
from tests.ledger.model import Model

LAYOUT = Layout(num_buyers=3, num_sellers=3, num_nodes=4, num_jobs=2)
FIELDS = ("kind", "actor", "job", "target", "amount", "tags", "value", "payload")
INT_MAX = 2**31 - 1


def seeded_draw(seed):
    """`draw` from Python's generator."""
    return random.Random(seed).randint


def random_rules(draw, scale):
    """Rules with short windows and random shares; money in units of `scale`."""
    seller_bps = draw(0, 10_000)
    return {
        **DEFAULT_RULES,
        "reserve": draw(1, max(1, scale // 10)),
        "min_increment_bps": draw(0, 2_000),
        "auction_window": draw(0, 3),
        "second_price": draw(0, 1),
        "seller_bps": seller_bps,
        "fee_bps": draw(0, 10_000 - seller_bps),
        "seller_deposit": draw(0, scale // 4),
        "min_sellers": draw(0, 2),
        "min_reputation_bps": draw(0, 1) * draw(0, 6_000),
        "num_rounds": draw(1, 3),
        "node_stake": draw(0, scale // 4),
        "reward_cap": INT_MAX if draw(0, 2) else draw(0, scale // 20),
        "slash_wrong_bps": draw(0, 10_000),
        "slash_silent_bps": draw(0, 3_000),
        "slash_harm_bps": draw(0, 10_000),
        "burn_bps": draw(0, 10_000),
        "bond_bps": draw(0, 2_000),
        "challenge_window": draw(0, 3),
        "timeout": draw(1, 6),
        "withdrawal_delay": draw(0, 6),
        "partial_payment": draw(0, 1),
        "refund_fee": draw(0, 1),
        "reputation_gain_bps": draw(0, 10_000),
        "reputation_floor_bps": draw(0, 2_000),
    }


def random_world(draw):
    """A model at genesis: dust, ordinary money, or everything there can be (2**31 - 1 units)."""
    scale = (20, 10_000, INT_MAX // LAYOUT.num_accounts)[draw(0, 2)]
    funds = [draw(scale // 2, scale) for _ in range(LAYOUT.num_accounts)]
    if scale > 10_000:
        funds[draw(0, LAYOUT.num_buyers - 1)] += INT_MAX - sum(funds)
    return Model(LAYOUT, random_rules(draw, scale), funds), funds


def pick(draw, options):
    return options[draw(0, len(options) - 1)]


def random_action(draw, model):
    """A sensible action; one time in four, one field of it replaced by something wild."""
    action = sensible(draw, model)
    if draw(0, 3) == 0:
        name = pick(draw, FIELDS)
        action[name] = wild(draw, name, action[name])
    return tuple(action[name] for name in FIELDS)


def wild(draw, name, old):
    """Out of range, at the edge, or just another one."""
    if name == "payload":
        at = draw(0, len(old) - 1)
        odd = pick(draw, (-1, 3, 4, 5, 2**15 + 1, INT_MAX))
        return [odd if i == at else v for i, v in enumerate(old)]
    if name == "kind":
        return draw(-1, len(Kind))
    if name == "actor" or name == "target":
        return pick(draw, (-1, LAYOUT.num_accounts, draw(0, LAYOUT.num_accounts - 1)))
    if name == "job":
        return pick(draw, (-1, LAYOUT.num_jobs, draw(0, LAYOUT.num_jobs - 1)))
    return pick(draw, (-1, 0, 1, old - 1, min(old, INT_MAX - 1) + 1, 10_001, INT_MAX, -INT_MAX - 1))


def sensible(draw, model):
    """What somebody might do now, with the right actor and amounts near the limits."""
    anybody = draw(0, LAYOUT.num_accounts - 1)
    slot = draw(0, LAYOUT.num_jobs - 1)
    size = LAYOUT.payload_size
    action = {
        **dict.fromkeys(FIELDS, 0),
        **{"actor": anybody, "job": slot, "target": draw(0, LAYOUT.num_accounts - 1)},
        **{"tags": pick(draw, (1, 1, 2, 3)), "payload": [draw(0, 1) for _ in range(size)]},
    }
    joins, newcomer = draw(0, 3), pick(draw, model.sellers + model.nodes)
    if joins and newcomer not in model.here:
        return {**action, **_register(draw, model, newcomer)}
    dice = draw(0, 19)
    if dice < 3:
        return {**action, "kind": Kind.WAIT, "amount": draw(0, 3)}
    if dice == 3:
        return {**action, "kind": Kind.BAN, "actor": model.arbiter, "amount": draw(0, 1)}
    if dice < 7:
        kind = pick(draw, (Kind.TOP_UP, Kind.REQUEST_WITHDRAWAL, Kind.WITHDRAW))
        asked = [a for a, (amount, _) in model.exit.items() if amount]
        waiting = kind == Kind.WITHDRAW and asked and draw(0, 4)
        someone = pick(draw, asked if waiting else model.sellers + model.nodes)
        has = model.money if kind == Kind.TOP_UP else model.stake
        amount = pick(draw, (1, has[someone] // 3, has[someone], has[someone], has[someone] + 1))
        return {**action, "kind": kind, "actor": someone, "amount": min(amount, INT_MAX)}
    return {**action, **_for_job(draw, model, model.jobs[slot])}


def _register(draw, model, actor):
    is_seller = actor in model.sellers
    least = model.rules["seller_deposit" if is_seller else "node_stake"]
    amount = pick(draw, (least, least, least * 2, model.money[actor], least - 1))
    kind = Kind.REGISTER_SELLER if is_seller else Kind.REGISTER_NODE
    tags = pick(draw, (3, 3, 3, 1))
    return {"kind": kind, "actor": actor, "amount": amount, "tags": tags, "value": draw(0, 9)}


def _for_job(draw, model, job):
    """By phase, something that fits it; only what is picked draws its numbers."""
    arbiter, rules = model.arbiter, model.rules

    def vector(*options):
        return [pick(draw, options) for _ in range(LAYOUT.payload_size)]

    def settle_round():
        payload = vector(0, 1, 1, 1, 2, 3)
        return {"kind": Kind.SETTLE_ROUND, "actor": arbiter, "payload": payload}

    def rate():
        return {"kind": Kind.RATE_SELLERS, "actor": arbiter, "payload": vector(0, 1, 2)}

    def slash():
        target = pick(draw, model.sellers)
        return {"kind": Kind.SLASH_SELLER, "actor": arbiter, "target": target}

    def report():
        some = draw(0, 2**15)
        return {
            "kind": Kind.REPORT_METRIC,
            "actor": arbiter,
            "amount": draw(0, 10_000),
            "value": draw(0, 10_000),
            "payload": vector(0, 1, 2**15, some, some // 3),
        }

    def bid():
        best = job.bids[-1] if job.bids else 0
        step = max(1, best * rules["min_increment_bps"] // 10_000)
        least = best + step if best else rules["reserve"]
        buyer = pick(draw, model.buyers)
        amount = pick(draw, (least, least, least + 1, least - 1, model.money[buyer]))
        amount, tau = min(amount, INT_MAX), draw(0, 9_000)
        known = {"tags": job.tags} if best and draw(0, 3) else {}
        return {"kind": Kind.BID, "actor": buyer, "amount": amount, "value": tau, **known}

    def dispute():
        return {
            "kind": Kind.OPEN_DISPUTE,
            "actor": pick(draw, [job.buyer, *job.locked, *model.nodes]),
            "target": pick(draw, [*job.locked, *model.nodes]),
            "value": draw(0, job.round - 1),
        }

    def resolve():
        ruling, payload = draw(0, 2), vector(0, 1, 1, 2, 3, 4)
        action = {"kind": Kind.RESOLVE_DISPUTE, "actor": arbiter, "amount": ruling}
        return {**action, "payload": payload}

    def again():
        # Too late for anything but a reset; ask as the one who would have been allowed to.
        kind = draw(Kind.BID, Kind.TIME_OUT)
        return {"kind": kind, "actor": model.buyers[0] if kind == Kind.BID else arbiter}

    def plain(kind):
        return lambda: {"kind": kind}

    close, match, time_out = plain(Kind.CLOSE_AUCTION), plain(Kind.MATCH), plain(Kind.TIME_OUT)
    fitting = {
        Phase.IDLE: (bid,),
        Phase.AUCTION: (bid, bid, close),
        Phase.CLOSED: (match,) * 5 + (time_out,),
        Phase.MATCHED: (settle_round,) * 6 + (slash, time_out),
        Phase.TRAINING: (settle_round,) * 4 + (rate, slash, report, time_out),
        Phase.VERIFY: (report,) * 4 + (rate, slash, time_out),
        Phase.CHALLENGE: (dispute, dispute, plain(Kind.SETTLE), slash),
        Phase.DISPUTED: (resolve,) * 3 + (time_out,),
    }
    ended = (plain(Kind.RESET_JOB), again, again)
    return pick(draw, fitting.get(job.phase, ended))()


@jax.jit
def genesis(funds):
    """A ledger from the funds of all accounts [A]."""
    return new_ledger(
        LAYOUT,
        buyer_funds=funds[LAYOUT.buyers],
        seller_funds=funds[LAYOUT.sellers],
        node_funds=funds[LAYOUT.nodes],
        treasury_funds=funds[-1],
    )


def typed(rules):
    """Dictionaries of numbers as one Rules with leaves [T]."""
    return Rules(**{name: np.asarray([r[name] for r in rules], np.int32) for name in rules[0]})


def batch(rows):
    """A list of lists of action tuples as one Action with leaves [T, S]."""
    columns = zip(*(zip(*row) for row in rows))
    return Action(**{f: np.asarray(c, np.int32) for f, c in zip(FIELDS, columns, strict=True)})
