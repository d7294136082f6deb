"""Random worlds and random traces, mostly legal, that reach every phase and every refusal.

All randomness comes through `draw(low, high)` (both included), so that a seed can make thousands of
traces and hypothesis can shrink one.
"""

import random

from d2m_jax.ledger import DEFAULT_RULES, Kind, Layout, Phase
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
    missing = [a for a in model.sellers + model.nodes if a not in model.here]
    if missing and draw(0, 2):
        return {**action, **_register(draw, model, pick(draw, missing))}
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
    size, arbiter, rules = LAYOUT.payload_size, model.arbiter, model.rules
    outcomes = [pick(draw, (0, 1, 1, 1, 2, 3)) for _ in range(size)]
    rate = {
        "kind": Kind.RATE_SELLERS,
        "actor": arbiter,
        "payload": [draw(0, 2) for _ in range(size)],
    }
    slash = {
        "kind": Kind.SLASH_SELLER,
        "actor": arbiter,
        "target": pick(draw, model.sellers),
    }
    report = {
        "kind": Kind.REPORT_METRIC,
        "actor": arbiter,
        "amount": draw(0, 10_000),
        "value": draw(0, 10_000),
        "payload": [pick(draw, (0, 1, 2**15, draw(0, 2**15))) for _ in range(size)],
    }
    settle_round = {"kind": Kind.SETTLE_ROUND, "actor": arbiter, "payload": outcomes}
    time_out = {"kind": Kind.TIME_OUT}
    match job.phase:
        case Phase.IDLE | Phase.AUCTION:
            best = job.bids[-1] if job.bids else 0
            step = max(1, best * rules["min_increment_bps"] // 10_000)
            least = best + step if best else rules["reserve"]
            buyer = pick(draw, model.buyers)
            amount = pick(draw, (least, least, least + 1, least - 1, model.money[buyer]))
            bid = {
                "kind": Kind.BID,
                "actor": buyer,
                "amount": min(amount, INT_MAX),
                "value": draw(0, 9_000),
            }
            if best and draw(0, 3):
                bid["tags"] = job.tags
            return pick(draw, (bid, bid, {"kind": Kind.CLOSE_AUCTION}) if best else (bid,))
        case Phase.CLOSED:
            return pick(draw, ({"kind": Kind.MATCH},) * 5 + (time_out,))
        case Phase.MATCHED:
            return pick(draw, (settle_round,) * 6 + (slash, time_out))
        case Phase.TRAINING:
            return pick(draw, (settle_round,) * 4 + (rate, slash, report, time_out))
        case Phase.VERIFY:
            return pick(draw, (report,) * 4 + (rate, slash, time_out))
        case Phase.CHALLENGE:
            dispute = {
                "kind": Kind.OPEN_DISPUTE,
                "actor": pick(draw, [job.buyer, *job.locked, *model.nodes]),
                "target": pick(draw, [*job.locked, *model.nodes]),
                "value": draw(0, job.round - 1),
            }
            return pick(draw, (dispute, dispute, {"kind": Kind.SETTLE}, slash))
        case Phase.DISPUTED:
            verdict = {"kind": Kind.RESOLVE_DISPUTE, "actor": arbiter, "amount": draw(0, 2)}
            verdict["payload"] = [pick(draw, (0, 1, 1, 2, 3, 4)) for _ in range(size)]
            return pick(draw, (verdict,) * 3 + (time_out,))
        case _:
            # Too late for anything but a reset; ask as the one who would have been allowed to.
            kind = draw(Kind.BID, Kind.TIME_OUT)
            again = {"kind": kind, "actor": model.buyers[0] if kind == Kind.BID else arbiter}
            return pick(draw, ({"kind": Kind.RESET_JOB}, again, again))
