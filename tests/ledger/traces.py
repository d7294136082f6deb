"""Random worlds and random traces, mostly legal, that reach every phase and every refusal.

All randomness comes through `draw(low, high)` (both included): of one seed, for thousands of
traces, or of one seed per action, so that hypothesis can leave actions out. A trace is made up
action by action beside a slow model; what has to be remembered is in the model's `notes`. Jobs and
registrations are here, votes in `ballots.py`.
"""

import random

import jax
import numpy as np

from d2m_jax.ledger import DEFAULT_RULES, Action, Kind, Layout, Phase, Rules, new_ledger
from d2m_jax.ledger.machine import Chain, Laws
from d2m_jax.ledger.rules import AMOUNTS
from d2m_jax.ledger.votes_state import new_votes
from tests.ledger.ballots import trial, vote
from tests.ledger.model import Model, mix
from tests.ledger.vote_traces import fair_seats, pick, random_election, terms_of

LAYOUT = Layout(num_buyers=3, num_sellers=3, num_nodes=4, num_jobs=2, num_units=4)
FIELDS = ("kind", "actor", "job", "target", "amount", "tags", "value", "extra", "payload")
INT_MAX = 2**31 - 1
RUNNING = range(Phase.MATCHED, Phase.SETTLED)


def seeded_draw(seed):
    """`draw` from Python's generator."""
    return random.Random(seed).randint


def random_rules(draw, scale):
    """Rules with short windows and random shares; money in units of `scale`."""
    seller_bps, timeout = draw(0, 10_000), draw(1, 6)
    return {
        **DEFAULT_RULES,
        "sealed": draw(0, 1),
        "second_price": draw(0, 1),
        "reserve": draw(1, max(1, scale // 10)),
        "min_increment_bps": draw(0, 2_000),
        "auction_window": draw(0, 3),
        "reveal_window": pick(draw, (0, 2, 3, 4, 5)),
        "unrevealed_bps": draw(0, 10_000),
        "seller_bps": seller_bps,
        "fee_bps": draw(0, 10_000 - seller_bps),
        "seller_deposit": draw(0, scale // 4),
        "min_sellers": draw(0, 2),
        "min_nodes": pick(draw, (1, 1, 1, 2, 3)),
        "min_reputation_bps": pick(draw, (0, 0, draw(0, 6_000))),
        "num_rounds": pick(draw, (1, 1, 1, 2, 2, 3, 4)),
        "node_stake": draw(1, max(1, scale // 4)),
        "by_stake": draw(0, 1),
        "reward_cap": INT_MAX if draw(0, 2) else draw(0, scale // 20),
        "slash_wrong_bps": draw(0, 10_000),
        "slash_silent_bps": draw(0, 3_000),
        "slash_harm_bps": draw(0, 10_000),
        "burn_bps": draw(0, 10_000),
        "bond_bps": draw(0, 2_000),
        "challenge_window": pick(draw, (0, 1, 2, 3, 3)),
        "timeout": timeout,
        "withdrawal_delay": timeout + draw(0, 3),
        "partial_payment": draw(0, 1),
        "refund_fee": draw(0, 1),
        "work_bps": draw(0, 1) * draw(0, 10_000),
        "reputation_gain_bps": draw(0, 10_000),
        "reputation_floor_bps": draw(0, 2_000),
        "bisection": draw(0, 1),
    }


def random_world(draw, most=INT_MAX):
    """A model at genesis: dust, ordinary money, or everything there can be (`most` units)."""
    scale = (20, 10_000, most // LAYOUT.num_accounts)[draw(0, 2)]
    funds = [draw(scale // 2, scale) for _ in range(LAYOUT.num_accounts)]
    if scale > 10_000:
        funds[draw(0, LAYOUT.num_buyers - 1)] += most - sum(funds)
    rules = random_rules(draw, scale)
    rounds = min(rules["num_rounds"], LAYOUT.num_units - 1)
    how = random_election(draw, LAYOUT.num_nodes, LAYOUT.num_sellers, LAYOUT.num_jobs, rounds)
    rules["content_window"] = how.commit_window + how.reveal_window + draw(1, 3)
    model = Model(LAYOUT, rules, funds, how)
    model.most = most
    return model, funds


def random_action(draw, model, seats=None):
    """A sensible action; one time in six, one field of it replaced by something wild.

    Args:
        draw: the dice.
        model: of the market; it is asked, not moved.
        seats: `job -> [C]`, what chance gives at a draw; by default the dice do.
    """
    seats = seats or (lambda job: fair_seats(draw, model.votes, model.votes.slots[job]))
    action = sensible(draw, model, seats)
    if draw(0, 5) == 0:
        # What is hashed, the contract's driver is told in fields that are none of the action's.
        told = {Kind.BID: 1, Kind.REVEAL: 1, Kind.SEAL: 2}.get(action["kind"], 0)
        name = pick(draw, FIELDS[: len(FIELDS) - told])
        action[name] = wild(draw, name, action[name], model.most)
    if action["kind"] == Kind.CLOSE_CASE and action["extra"][0]:
        action["value"] = 0  # a court says one thing: no other content goes with what stood
    return tuple(action[name] for name in FIELDS)


def wild(draw, name, old, most):
    """Out of range, at the edge, or just another one."""
    if name in ("payload", "extra"):
        at = draw(0, len(old) - 1)
        odd = pick(draw, (-1, 3, 4, 5, 6, 2**15 + 1, INT_MAX))
        return [odd if i == at else v for i, v in enumerate(old)]
    if name == "kind":
        return draw(-1, len(Kind))
    if name == "actor" or name == "target":
        return pick(draw, (-1, LAYOUT.num_accounts, draw(0, LAYOUT.num_accounts - 1)))
    if name == "job":
        return pick(draw, (-1, LAYOUT.num_jobs, draw(0, LAYOUT.num_jobs - 1)))
    top = most if name == "amount" else INT_MAX
    return pick(draw, (-1, 0, 1, old - 1, min(old, top - 1) + 1, 10_001, top, -top - 1))


def sensible(draw, model, seats):
    """What somebody might do now, with the right actor and amounts near the limits."""
    anybody = draw(0, LAYOUT.num_accounts - 1)
    slot = draw(0, LAYOUT.num_jobs - 1)
    running = [i for i, job in enumerate(model.jobs) if job.phase in RUNNING]
    if running and draw(0, 5):
        slot = running[0] if draw(0, 2) else pick(draw, running)
    action = {
        **dict.fromkeys(FIELDS, 0),
        **{"actor": anybody, "job": slot, "target": draw(0, LAYOUT.num_accounts - 1)},
        **{"tags": pick(draw, (1, 1, 2, 3)), "extra": [0, 0, 0], "payload": []},
    }
    action |= _step(draw, model, slot, seats)
    missing = LAYOUT.payload_size - len(action["payload"])
    return {**action, "payload": [*action["payload"], *[0] * missing]}


def _step(draw, model, slot, seats):
    """The fields of a newcomer, of a stray action, or of what the job in the slot waits for."""
    newcomer = pick(draw, model.sellers + model.nodes)
    if draw(0, 2) and newcomer not in model.here and newcomer not in model.barred:
        return _register(draw, model, newcomer)
    dice = draw(0, 39)
    if dice == 0:
        return {"kind": Kind.WAIT, "amount": draw(0, 3)}
    if dice == 1:
        ask, tau = _terms(draw, model)
        who = pick(draw, model.sellers)
        return {"kind": Kind.SET_ASK, "actor": who, "amount": ask, "value": tau}
    if dice < 5:
        return _stake(draw, model)
    if dice == 5:
        kind = draw(Kind.OPEN_UNIT, len(Kind) - 1)
        return {"kind": kind, "actor": pick(draw, model.nodes), "value": draw(0, 9)}
    if dice == 6:
        return {"kind": draw(Kind.CLOSE_AUCTION, Kind.BOOK_CASE), "value": draw(0, 2)}
    return _for_job(draw, model, slot, seats)


def _stake(draw, model):
    """More of it, or less; or who is banned wants to come back."""
    kind = pick(draw, (Kind.TOP_UP, Kind.REQUEST_WITHDRAWAL, Kind.WITHDRAW))
    asked = [a for a, (amount, _) in model.exit.items() if amount]
    someone = pick(draw, model.sellers + model.nodes)
    if kind == Kind.WITHDRAW and asked and draw(0, 4):
        someone = pick(draw, asked)
    if model.barred and draw(0, 2) == 0:
        someone = pick(draw, sorted(model.barred))
        kind = pick(draw, (kind, Kind.REGISTER_NODE, Kind.REGISTER_SELLER))
    has = model.money if kind == Kind.TOP_UP else model.stake
    amount = pick(draw, (1, has[someone] // 3, has[someone], has[someone], has[someone] + 1))
    return {"kind": kind, "actor": someone, "amount": min(amount, model.most)}


def _register(draw, model, actor):
    is_seller = actor in model.sellers
    least = model.rules["seller_deposit" if is_seller else "node_stake"]
    amount = pick(draw, (least, least * 2, least * 2, least * 3, model.money[actor], least - 1))
    kind = Kind.REGISTER_SELLER if is_seller else Kind.REGISTER_NODE
    tags = pick(draw, (3, 3, 3, 1))
    joins = {"kind": kind, "actor": actor, "amount": amount, "tags": tags, "value": draw(0, 9)}
    return {**joins, "extra": [*_terms(draw, model), 0]}


def _terms(draw, model):
    """What a seller asks for: mostly nothing, else near what a job at the reserve pays it."""
    pool = model.rules["reserve"] * model.rules["seller_bps"] // 10_000
    ask = pick(draw, (0, 0, 0, 0, 0, pool, pool + 1))
    return ask, pick(draw, (*[10_000] * 5, draw(0, 10_000)))


def _for_job(draw, model, slot, seats):
    """By phase, something that fits it; only what is picked draws its numbers."""
    rules, job = model.rules, model.jobs[slot]
    known = {"tags": job.tags} if job.phase == Phase.AUCTION and draw(0, 3) else {}

    def bid():
        buyer, top = pick(draw, model.buyers), max(job.bids.values(), default=0)
        own = job.bids.get(buyer, 0)
        least = (
            own + max(1, own * rules["min_increment_bps"] // 10_000) if own else rules["reserve"]
        )
        cash = model.money[buyer] + own
        amount = pick(draw, (least, least + 1, least - 1, top, top + 1, top + 1, cash, cash + 1))
        amount, tau = min(amount, model.most), draw(0, 9_000)
        metric, told = metric_and_words()
        said = {"amount": amount, "value": tau, "extra": [draw(1, 9), metric, 0]}
        return {"kind": Kind.BID, "actor": buyer, **said, "payload": [*told, 0, 0], **known}

    def metric_and_words():
        words = draw(1, 9), draw(0, 2**20)
        model.notes[mix(*words)] = words
        return mix(*words), words

    def seal():
        buyer, least = pick(draw, model.buyers), rules["reserve"]
        cash = model.money[buyer]
        deposit = pick(draw, (least, least - 1, *[max(least, cash // 2)] * 6, cash, cash + 1))
        deposit = min(deposit, model.most)
        middle = max(least, deposit // 2)
        usual = (least, middle, deposit)
        amount = pick(draw, (*usual, *usual, *usual, least - 1, deposit + 1))
        metric, told = metric_and_words()
        said = [min(amount, model.most), draw(0, 9_000), draw(1, 9), metric, draw(0, 2**20)]
        value = mix(slot, buyer, *said)
        opens = {"actor": buyer, "amount": said[0], "value": said[1], "extra": said[2:]}
        model.notes[value] = {**opens, "payload": [*told, 0, 0]}  # the fields of its REVEAL
        payload = [*said[:2], *told]
        fields = {"amount": deposit, "value": value, "extra": said[2:], "payload": payload}
        return {"kind": Kind.SEAL, "actor": buyer, **fields, **known}

    def reveal():
        known = [model.notes[value] for value in job.seals.values() if value in model.notes]
        late = [x for x in known if x["actor"] not in job.bids]
        said = pick(draw, late or known or [{"actor": model.buyers[0]}])
        return {"kind": Kind.REVEAL, **said}

    def dispute():
        units = [unit for unit, result in job.results.items() if result]
        split = [u for u in units if len({d for d in job.papers[u].values() if d}) > 1]
        unit = pick(draw, (split or units) if draw(0, 2) else [*units, draw(-1, 4)])
        return {"kind": Kind.OPEN_DISPUTE, "value": unit}

    def again():
        # Not the time for it; ask as one who would have been allowed to.
        return {"kind": draw(Kind.BID, Kind.TIME_OUT), "actor": pick(draw, model.buyers)}

    def opening():
        content, salt = model.notes.get(job.metric, (0, 0))
        actor = pick(draw, (job.buyer,) * 4 + (0,))
        return {"kind": Kind.OPEN_METRIC, "actor": actor, "value": content, "extra": [salt, 0, 0]}

    def take():
        return {"kind": Kind.TAKE, "actor": pick(draw, (job.buyer,) * 4 + (0,))}

    def plain(kind):
        return lambda: {"kind": kind}

    def wait():
        return {"kind": Kind.WAIT, "amount": int(draw(0, 4) == 0) + max(1, ends - model.block)}

    def auction():
        """What the windows allow, mostly."""
        if draw(0, 11) == 0:
            return pick(draw, (bid, seal, reveal, close))()
        if model.block < opens:
            return pick(draw, (enter, enter, wait))()
        hidden = len(job.seals) - len(job.bids)
        return (close if model.block >= ends else reveal if hidden and draw(0, 7) else wait)()

    def time_out():
        rest = job.since + rules["timeout"] - model.block
        waits = rest > 0 and draw(0, 2)
        return {"kind": Kind.WAIT, "amount": rest} if waits else {"kind": Kind.TIME_OUT}

    def ballot():
        return vote(draw, model, slot, seats)

    def hearing():
        return trial(draw, model, slot) if rules["bisection"] else ballot()

    def settle():
        rest = job.since + rules["challenge_window"] - model.block
        waits = rest > 0 and draw(0, 2)
        return {"kind": Kind.WAIT, "amount": rest} if waits else {"kind": Kind.SETTLE}

    close = plain(Kind.CLOSE_AUCTION)
    enter = seal if rules["sealed"] else bid
    opens = job.since + rules["auction_window"]
    ends = opens + rules["sealed"] * rules["reveal_window"]
    if rules["sealed"] and model.block < opens and draw(0, 2):
        ends = opens
    missed = (take,) * (2 * (job.metric_bps < job.tau_bps))
    fitting = {
        Phase.IDLE: (*[enter] * 16, seal, bid),
        Phase.AUCTION: (auction,),
        Phase.MATCHED: (*[ballot] * 60, time_out, opening, opening, opening),
        Phase.TRAINING: (*[ballot] * 60, time_out, opening, opening, opening),
        Phase.VERIFY: (*[ballot if job.opened else opening] * 40, time_out, again),
        Phase.CHALLENGE: (*[dispute] * 4, settle, settle, take, *missed),
        Phase.DISPUTED: (*[hearing] * 60, time_out),
    }
    ended = (plain(Kind.RESET_JOB), again, again)
    return pick(draw, fitting.get(job.phase, ended))()


@jax.jit
def genesis(funds):
    """A chain from the funds of all accounts [A]."""
    ledger = new_ledger(
        LAYOUT,
        buyer_funds=funds[LAYOUT.buyers],
        seller_funds=funds[LAYOUT.sellers],
        node_funds=funds[LAYOUT.nodes],
        treasury_funds=funds[-1],
    )
    return Chain(ledger, new_votes(LAYOUT.num_jobs, LAYOUT.num_nodes, LAYOUT.num_sellers))


def laws_of(models):
    """The laws of many models as one Laws with leaves [T]."""
    terms = jax.tree.map(lambda *x: np.stack(x), *(terms_of(model.votes.how) for model in models))
    return Laws(typed([model.rules for model in models]), terms)


def typed(rules):
    """Dictionaries of numbers as one Rules with leaves [T]."""
    kinds = {name: np.int64 if name in AMOUNTS else np.int32 for name in rules[0]}
    return Rules(**{name: np.asarray([r[name] for r in rules], kinds[name]) for name in kinds})


def batch(rows):
    """A list of lists of action tuples as one Action with leaves [T, S].

    The payload of a seal, of which a ledger knows nothing, is cut to 32 bits.
    """
    columns = {f: np.asarray(c, np.int64) for f, c in zip(FIELDS, zip(*(zip(*r) for r in rows)))}
    wide = ("amount", "extra")
    return Action(**{f: c if f in wide else c.astype(np.int32) for f, c in columns.items()})
