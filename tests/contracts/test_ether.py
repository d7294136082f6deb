"""Ether in and out of the contract: whole units, pull payments, and thieves that call back."""

import functools

import numpy as np
import pytest

from contracts.compiler import compile_contract, compile_text, source_of
from contracts.market import (
    JOBS,
    MARKET,
    UNIT,
    Code,
    address_of,
    encode,
    number_of,
    reason_text,
    words_of,
)
from tests.contracts.both import BUYER, LAYOUT, RIVAL, RULES, Both, challenged
from tests.contracts.mutants import swap
from tests.contracts.puppet import PuppetMarket, market_code

pytestmark = pytest.mark.slow

THIEF = """
# pragma version 0.4.3
# An account of the market that, when it is paid, calls the market again.

market: address
message: Bytes[68]
tries: public(uint256)
hits: public(uint256)

@deploy
def __init__(market: address):
    self.market = market

@external
def rob(message: Bytes[68], units: int256):
    self.message = message
    raw_call(self.market, abi_encode(units, method_id=method_id("pay_out(int256)")))

@external
@payable
def __default__():
    assert len(self.message) > 0
    if self.tries < 3:
        self.tries += 1
        if raw_call(self.market, self.message, revert_on_failure=False):
            self.hits += 1
"""
LOCK = "# pragma nonreentrancy on\n"
DEBIT = "    store._debit(seat, units)\n    self._send_ether(units)\n"
SUPPLY = "    store.supply -= units\n    log PaidOut"
# The classic mistake: the balance is checked, paid and only then written, from an old reading.
LATE = """    held: store.Account = store._account(seat)
    assert units <= held.balance, "NOT_ENOUGH_MONEY"
    self._send_ether(units)
    held.balance -= units
    store._set_account(seat, held)
    store.supply -= units
"""


def free(text):
    """Without the lock, nothing needs to be let through it."""
    return swap(swap(text, LOCK, ""), "@reentrant\n", "")


@functools.cache
def variants():
    """The market by (written late, locked)."""
    safe, sound = source_of("D2MMarket"), market_code()
    late = swap(swap(safe, DEBIT, LATE), SUPPLY, "    log PaidOut")
    texts = {(True, True): late, (False, False): free(safe), (True, False): free(late)}
    made = {key: compile_contract("D2MMarket", {"D2MMarket": x}) for key, x in texts.items()}
    return {key: Code(x, sound.jobs) for key, x in made.items()} | {(False, True): sound}


@functools.cache
def thief():
    return compile_text(THIEF)


def with_a_thief(code):
    """A market in which the account BUYER is a contract that calls back."""
    market = PuppetMarket(LAYOUT, RULES, [100] * LAYOUT.num_accounts, code)
    made = thief().code + words_of(number_of(MARKET))
    assert market.evm.create(address_of(99), address_of(BUYER), made).ok
    return market


def rob(market, message, units):
    """The thief asks for `units` and sends `message` when they arrive: (ok, tries, hits)."""
    padded = message + bytes(-len(message) % 32)
    data = encode(64, units, len(message)) + padded
    who, selectors = address_of(BUYER), thief().selectors
    ok = market.evm.call(address_of(99), who, selectors["rob"] + data).ok
    counts = [market.evm.call(address_of(99), who, selectors[n]).output for n in ("tries", "hits")]
    return ok, *(int.from_bytes(count, "big") for count in counts)


def same(one, other, but=()):
    """Whether two states are equal, but for the named fields."""
    return {name for name in one if not np.array_equal(one[name], other[name])} == set(but)


@pytest.mark.parametrize("is_locked", [True, False])
@pytest.mark.parametrize("is_late", [False, True])
def test_paying_out_again_from_inside_a_payment(is_late, is_locked):
    """Effects before the call, and the lock: either defence alone holds; without both, theft."""
    market = with_a_thief(variants()[is_late, is_locked])
    ask = market.selectors["pay_out"] + encode(60)
    ok, tries, hits = rob(market, ask, 60)
    taken = market.evm.state.get_balance(address_of(BUYER)) // UNIT
    left = market.state()["balances"][BUYER]
    assert market.evm.state.get_balance(MARKET) // UNIT == 100 * LAYOUT.num_accounts - taken
    assert ok and left == 40
    if is_late and not is_locked:
        assert (tries, hits, taken) == (3, 3, 240)
    else:
        assert (tries, hits, taken) == (1, 0, 60)


def test_no_other_function_can_be_entered_from_a_payment_either():
    """One lock for both pieces of the code: every function refuses, and so do the views."""
    market = with_a_thief(market_code())
    names = {*market.code.market.selectors, *market.code.jobs.selectors}
    for name in sorted(names - {"__default__", "JOBS_CODE"}):  # which is a constant
        before = market.state()
        ok, _, hits = rob(market, market.selectors[name] + encode(0, 3), 1)
        assert ok and hits == 0, name
        after = market.state()
        assert same(after, before, ("balances", "supply")), name
        assert before["balances"][BUYER] - after["balances"][BUYER] == 1
    assert len(names) > 35


def test_the_lock_holds_also_where_code_is_borrowed():
    """Without the lock of the second piece its functions are open from inside a payment.

    They find everything written: what they do then is what they would do a transaction later.
    """
    jobs = compile_contract("D2MJobs", {"D2MJobs": swap(source_of("D2MJobs"), LOCK, "")})
    for code, hit in ((market_code(), 0), (Code(market_code().market, jobs), 1)):
        market = with_a_thief(code)
        assert market.call(address_of(RIVAL), "bid", 0, 3, 50, 0, 0, 0).ok
        market.evm.block += RULES["auction_window"]
        assert market.call(address_of(RIVAL), "close_auction", 0).ok
        ok, _, hits = rob(market, market.selectors["reset_job"] + encode(0), 1)
        assert ok and hits == hit


def blank(artifact, name):
    """Arguments of a function in their right form, all of them zero or empty."""
    (entry,) = (x for x in artifact.abi if x.get("name") == name and x["type"] == "function")
    values = []
    for made in entry["inputs"]:
        if made["type"].endswith("[]"):
            values.append([])
        elif made["type"] == "bytes":
            values.append(b"")
        else:
            values += [0] * len(made.get("components", ["one word"]))
    return encode(*values)


def test_the_second_piece_of_code_alone_holds_nothing_and_does_nothing():
    """Called directly it knows no seats, takes no ether and leaves its storage empty."""
    both = challenged()
    market, who = both.market, address_of(BUYER)
    market.evm.state.set_balance(who, 10 * UNIT)
    jobs = market.code.jobs
    for name, selector in jobs.selectors.items():
        data = selector + (b"" if name == "__default__" else blank(jobs, name))
        for value in (0, UNIT):
            sent = market.evm.call(who, JOBS, data, value)
            assert sent.ok == (name == "terms_hash" and value == 0), name
            if not sent.ok and value == 0:
                assert reason_text(sent.output) in ("UNKNOWN_PARTY", "UNKNOWN_ACTION"), name
        # Arguments in no form at all are refused, too, by the decoder without a reason.
        assert name == "terms_hash" or not market.evm.call(who, JOBS, selector + b"\xff").ok, name
    read = market.evm.state.get_storage
    assert market.evm.state.get_balance(JOBS) == 0
    assert not any(read(JOBS, slot) for slot in range(2_000))
    both.agree()


def test_slots_and_selectors_of_the_two_pieces_do_not_clash():
    market, jobs = market_code()
    assert market.slots == jobs.slots
    common = set(market.selectors.values()) & set(jobs.selectors.values())
    assert common == {market.selectors[name] for name in ("terms_hash", "__default__")}


def test_pieces_of_different_terms_do_not_go_together():
    market = PuppetMarket(LAYOUT, RULES, [0] * LAYOUT.num_accounts)
    where, code = b"OTHER".rjust(20, b"\0"), market.code.market.code
    here, nobody = (words_of(number_of(x)) for x in (JOBS, b"NOBODY".rjust(20, b"\0")))
    for change in ({"burn_bps": 1}, {"node_stake": 101}, {"timeout": 9}):
        other = market.terms({**RULES, **change})
        sent = market.evm.create(address_of(0), where, code + other + here)
        assert not sent.ok and reason_text(sent.output) == "CODE"
    assert not market.evm.create(address_of(0), where, code + market.terms(RULES) + nobody).ok
    assert market.evm.create(address_of(0), where, code + market.terms(RULES) + here).ok


def test_ether_sent_along_with_a_job_is_refused():
    both = challenged()
    who = address_of(RIVAL)
    both.market.evm.state.set_balance(who, 10 * UNIT)
    sent = both.market.call(who, "open_dispute", 0, 0, value=UNIT)
    assert not sent.ok and both.market.evm.state.get_balance(who) == 10 * UNIT
    both.agree()


def test_who_lost_its_seat_and_refuses_ether_stops_nobody():
    """What is owed to it stays owed; whoever took the seat goes on."""
    market = with_a_thief(market_code())
    slot = market.artifact.slots["accounts"] + 1 + BUYER
    market.evm.state.set_storage(MARKET, slot, RULES["reserve"] - 1)
    market.must(address_of(500), "join", BUYER)
    assert not market.call(address_of(BUYER), "collect").ok
    assert market.read("owed", number_of(address_of(BUYER))) == [RULES["reserve"] - 1]
    assert market.read("seat_of", number_of(address_of(500))) == [BUYER + 1]


def test_who_cannot_take_its_ether_harms_only_itself():
    market = with_a_thief(market_code())
    who = address_of(BUYER)
    # paid without a message set: the thief's own assertion fails, and the payment with it
    sent = market.call(who, "pay_out", 10)
    assert not sent.ok and market.state()["balances"][BUYER] == 100
    market.evm.state.set_balance(address_of(RIVAL), 0)
    assert market.call(address_of(RIVAL), "pay_out", 10).ok
    # its bid comes back like anybody else's: that credits it inside the contract, sends nothing
    assert market.call(who, "bid", 0, 3, 50, 0, 0, 0).ok
    assert market.call(address_of(RIVAL), "bid", 0, 3, 60, 0, 0, 0).ok
    market.evm.block += RULES["auction_window"]
    assert market.call(who, "close_auction", 0).ok
    assert market.state()["balances"][BUYER] == 100


def test_only_whole_units_come_in_and_forced_ether_counts_for_nothing():
    both = Both()
    evm, market = both.market.evm.state, both.market
    evm.set_balance(address_of(BUYER), 10 * UNIT)
    for wei in (1, UNIT - 1, UNIT + 1):
        sent = market.call(address_of(BUYER), "pay_in", value=wei)
        assert reason_text(sent.output) == "BAD_VALUE"
    bare = market.evm.call(address_of(BUYER), market.address, b"", UNIT)
    assert reason_text(bare.output) == "UNKNOWN_ACTION"
    assert reason_text(market.call(address_of(-1), "pay_in").output) == "UNKNOWN_PARTY"
    before = market.state()
    evm.set_balance(MARKET, evm.get_balance(MARKET) + 5 * UNIT)  # by selfdestruct
    assert same(market.state(), before)


def test_what_is_paid_out_leaves_once():
    market = Both(funds=100).market
    who = address_of(BUYER)
    before = market.evm.state.get_balance(who)
    assert market.call(who, "pay_out", 60).ok
    assert reason_text(market.call(who, "pay_out", 60).output) == "NOT_ENOUGH_MONEY"
    assert reason_text(market.call(address_of(-1), "pay_out", 1).output) == "UNKNOWN_PARTY"
    assert market.evm.state.get_balance(who) == before + 60 * UNIT
    after = market.state()
    assert after["balances"][BUYER] == 40 and after["supply"] == 100 * LAYOUT.num_accounts - 60
    assert np.delete(after["balances"], BUYER).tolist() == [100] * (LAYOUT.num_accounts - 1)
