"""Every check of the contracts is hit: by the random traces, or by the cases here."""

import re

import numpy as np
import pytest
from eth_utils import keccak

from contracts.compiler import STORE, place_of, source_of
from contracts.evm import Evm
from contracts.market import (
    JOBS,
    MARKET,
    SUPPLY_LIMIT,
    UNIT,
    VOTES,
    address_of,
    number_of,
    reason_text,
    words_of,
)
from contracts.reading import is_sealed
from d2m_jax import ledger as L
from tests.contracts.both import (
    BUYER,
    LAYOUT,
    NODES,
    RIVAL,
    SELLERS,
    TREASURY,
    Both,
    challenged,
    matched,
    registered,
    shared_market,
)
from tests.contracts.machines import played
from tests.contracts.puppet import market_code
from tests.contracts.test_trial import refusals
from tests.ledger.worlds import decided

pytestmark = pytest.mark.slow

R = L.Reason
THERE, STOP = b"COURT".rjust(20, b"\0"), b"\0"  # some code, where the court should be
IN_COURT = {"rules": {"bisection": 1}}
START = {
    **{"sizes": tuple(LAYOUT[:4]), "unit": UNIT, "treasury": 77, "votes": 78},
    **{"court": number_of(THERE), "court_code": number_of(keccak(STOP)), "programs": 80},
    "rules": {},
}
POSITIVE = ("reserve", "num_rounds", "node_stake", "min_nodes")
COUNTS = ("timeout", "withdrawal_delay", "min_sellers", "min_nodes", "content_window")
FLAGS = ("sealed", "second_price", "by_stake", "bisection", "partial_payment", "refund_fee")
BAD_STARTS = [
    *({"sizes": sizes} for sizes in ((3, 3, 4, 0), (3, 3, 4, 17), (3, 257, 4, 2))),
    *({"sizes": sizes} for sizes in ((3, 3, 1025, 2), (257, 3, 4, 2))),
    *({"unit": 2**27 - 1}, {"unit": 2**128 + 1}, {"treasury": 0}, {"votes": 0}),
    *({"court": court, **IN_COURT} for court in (0, 79)),  # without a court nobody decides,
    {"court_code": 79, **IN_COURT},  # one of other terms is another court,
    {"court": 79, "court_code": number_of(keccak(b"")), **IN_COURT},  # and no code is none,
    {"programs": 0, **IN_COURT},  # and without programs about nothing
    *({"rules": {name: 0}} for name in POSITIVE),
    *({"rules": {name: 2**31}} for name in COUNTS),
    *({"rules": {name: 2**63}} for name in ("reward_cap", "reserve", "node_stake")),
    {"rules": {"num_rounds": 2**16}},
    *({"rules": {name: 10_001}} for name in L.DEFAULT_RULES if name.endswith("_bps")),
    *({"rules": {name: 2}} for name in FLAGS),
    {"rules": {"seller_bps": 9_501, "fee_bps": 500}},
    {"rules": {"withdrawal_delay": 199}},
]


def start(piece=1, **changes):
    """Runs the constructor of a piece of the code (1: the second)."""
    values = {**START, **changes}
    artifact = market_code()[piece]
    rules = {**L.DEFAULT_RULES, **values["rules"]}
    numbers = words_of(*(rules[name] for name in artifact.names_of("rules")))
    layout = words_of(
        *values["sizes"],
        *(values[x] for x in ("unit", "treasury", "votes", "court", "court_code", "programs")),
    )
    evm = Evm()
    evm.state.set_code(THERE, STOP)
    return evm.create(address_of(0), address_of(1), artifact.code + layout + numbers)


def test_the_constructor_refuses_what_the_functional_ledger_refuses():
    assert start().ok and start(**IN_COURT).ok
    for changes in BAD_STARTS:
        sent = start(**changes)
        in_rules = "rules" in changes and not {"court", "court_code", "programs"} & set(changes)
        expected = "RULES" if in_rules else "LAYOUT"
        assert not sent.ok and reason_text(sent.output) == expected, changes
        if in_rules and changes["rules"] != {"num_rounds": 2**16}:
            with pytest.raises(ValueError, match="must"):
                L.make_rules(**changes["rules"])


def other_refusals():
    """What no action of the functional ledger leads to: (sent, expected reason)."""
    shared_market().start_over({**L.DEFAULT_RULES}, [0] * LAYOUT.num_accounts)
    new = address_of(500)
    yield shared_market().call(new, "join", -1), "UNKNOWN_PARTY"
    yield shared_market().call(address_of(BUYER), "join", 1), "ALREADY_DONE"
    yield shared_market().call(new, "collect"), "NOT_ENOUGH_MONEY"
    both = registered(sealed=1).seal(BUYER, 500)("WAIT", amount=3).reveal(BUYER, 500)
    both.reveal(BUYER, 500, expect=R.ALREADY_DONE)
    yield both.market.last, "ALREADY_DONE"
    both = challenged()
    market, me = both.market, address_of(BUYER)
    yield market.call(new, "join", RIVAL), "ALREADY_DONE"
    yield market.call(me, "pay_in"), "BAD_VALUE"
    yield market.call(me, "pay_out", 0), "BAD_VALUE"
    yield market.call(me, "no such function"), "UNKNOWN_ACTION"
    market.evm.state.set_balance(me, 2**63 * UNIT)
    yield market.call(me, "pay_in", value=(2**63 - 1) * UNIT), "SUPPLY_LIMIT"
    both("OPEN_DISPUTE", RIVAL, value=0)
    market.say(0, decided(both))
    for papers in ([], [(0, 5)], [(n, 5) for n in range(4)]):  # another list than was voted
        yield market.call(me, "book_dispute", 0, papers), "BAD_VALUE"


def checks_of(kind):
    """Refusals that only some random traces reach, made on purpose: (sent, expected reason)."""
    both = kind()
    for actor, name, values, reason in (
        (TREASURY, "bid", (0, 3, 500, 1, 0, 0), R.NOT_AUTHORISED),
        (BUYER, "seal", (0, 3, 500, 1), R.WRONG_FORMAT),
        (-1, "settle", (0,), R.UNKNOWN_PARTY),
        (BUYER, "settle", (7,), R.UNKNOWN_JOB),
        (BUYER, "register_node", (500,), R.NOT_AUTHORISED),
        (SELLERS[0], "set_ask", (-1, 0), R.BAD_VALUE),
        (BUYER, "set_ask", (0, 0), R.NOT_AUTHORISED),
        (BUYER, "top_up", (5,), R.NOT_REGISTERED),
        (NODES[0], "top_up", (0,), R.BAD_VALUE),
        (NODES[0], "request_withdrawal", (0,), R.BAD_VALUE),
        (NODES[0], "request_withdrawal", (10**6,), R.NOT_ENOUGH_MONEY),
        (NODES[0], "withdraw", (), R.WRONG_PHASE),
    ):
        yield both.market.call(address_of(actor), name, *values), reason.name


def test_refusals_that_the_functional_ledger_does_not_know():
    for sent, reason in other_refusals():
        assert not sent.ok and reason_text(sent.output) == reason
    for sent, reason in checks_of(registered):
        assert not sent.ok and reason_text(sent.output) == reason


def test_every_check_of_the_contracts_is_hit():
    """Mechanically: every check in the source has refused, with the reason it is written with."""
    code = {MARKET: market_code().market, JOBS: market_code().jobs}
    names = {MARKET: "D2MMarket", JOBS: "D2MJobs"}
    lines = {x: source_of(x).splitlines() for x in (*names.values(), STORE)}
    pattern = r"\s+(assert |(store|self)\._check\()"
    written = {
        (name, i + 1)
        for name, text in lines.items()
        for i, line in enumerate(text)
        if re.match(pattern, line)
    }
    assert len(written) > 70

    def check(address, position):
        """A check alone in its block is mapped to the block: take the next one written."""
        name, line = place_of(code[address], position)
        return name, min((w for n, w in written if n == name and w >= line), default=line)

    hits = {hit for trace in played()["traces"] for hit in trace.refused_at if hit[0] != VOTES}
    seen = {(*check(address, back), reason) for address, back, _, reason in hits}
    assert len(seen) > 40  # by the random traces alone
    cases = [*other_refusals(), *checks_of(registered), *refusals()]
    seen |= {(*check(sent.code_of, sent.back), reason) for sent, reason in cases}
    for changes in BAD_STARTS:
        sent = start(**changes)
        seen.add((*market_code().jobs.refusals[sent.pc], reason_text(sent.output)))
    seen.add(("D2MMarket", line_with("D2MMarket", '"CODE"'), "CODE"))  # in test_ether.py
    missed = [f"{n} {i}: {lines[n][i - 1].strip()}" for n, i in sorted(written - places(seen))]
    assert not missed, "\n".join(missed)


def places(seen):
    return {(name, line) for name, line, _ in seen}


def line_with(name, text):
    (found,) = (i + 1 for i, line in enumerate(source_of(name).splitlines()) if text in line)
    return found


def test_the_numbers_of_the_reasons_are_those_of_the_ledger():
    """And no reason is written down that no check gives."""
    source = source_of(STORE)
    numbers = dict(re.findall(r"^([A-Z_]+): constant\(uint256\) = (\d+)$", source, re.M))
    text = "".join(source_of(name) for name in ("D2MMarket", "D2MJobs", STORE))
    for reason in L.Reason:
        if reason != L.Reason.OK:
            assert int(numbers[reason.name]) == reason
            assert re.search(rf", (store\.)?{reason.name}\)", text)
    assert int(numbers["SUPPLY_LIMIT"]) == SUPPLY_LIMIT > max(L.Reason)


def test_the_deployed_code_is_below_the_limit_of_ethereum():
    """24,576 bytes (EIP-170), rules and layout included; py-evm enforces it too."""
    state = shared_market().evm.state
    sizes = [len(state.get_code(address)) for address in (MARKET, JOBS)]
    assert all(14_000 < size < 24_576 for size in sizes), sizes
    assert all(len(artifact.code) < 2 * 24_576 for artifact in market_code())  # EIP-3860


def test_both_pieces_see_the_same_storage():
    """Same variables, same slots, same terms: what one writes the other reads."""
    code = market_code()
    assert code.market.slots == code.jobs.slots
    shared = {name: at for name, at in code.market.fixed.items() if name != "JOBS_CODE"}
    assert shared == code.jobs.fixed
    market = Both().market
    assert not is_sealed(market) and market.read("JOBS_CODE") == [number_of(JOBS)]
    hashes = [
        market.evm.call(address_of(0), where, market.selectors["terms_hash"]).output
        for where in (MARKET, JOBS)
    ]
    assert np.array_equal(hashes[0], hashes[1])


def test_a_matched_job_asks_the_votes_for_its_first_round():
    both = matched()
    serial, unit, seed = both.market.read("wanted", 0)
    assert (serial, unit) == (1, 0) and seed
    assert both.market.read("wanted", 1) == [0, 0, 0]
    node = number_of(address_of(NODES[2]))
    assert both.market.read("node_of", node) == [3]
    for account in (BUYER, SELLERS[0], TREASURY, -1):
        assert both.market.read("node_of", number_of(address_of(account))) == [0]
