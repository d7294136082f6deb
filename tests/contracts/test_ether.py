"""Ether in and out of the contract: whole units, pull payments, and thieves that call back."""

import functools

import numpy as np
import pytest
import vyper

from contracts.market import SOURCE, UNIT, Market, address_of, compile_market, encode, reason_text
from contracts.market import state as by_name
from tests.contracts.both import BUYER, LAYOUT, RIVAL, RULES, Both
from tests.contracts.machines import artifact

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
DEBIT = "    self._debit(seat, units)\n    self.supply -= units\n"
PAY = '    raw_call(msg.sender, b"", value=units * UNIT)\n'
# The classic mistake: the balance is checked, paid and only then written, from an old reading.
CHECK = """    held: Account = self._account(seat)
    assert units <= held.balance, "NOT_ENOUGH_MONEY"
"""
LATE = (
    PAY + "    held.balance -= units\n    self._set_account(seat, held)\n    self.supply -= units\n"
)


def _replace(source, old, new):
    assert source.count(old) == 1
    return source.replace(old, new)


@functools.cache
def thief():
    made = vyper.compile_code(THIEF, output_formats=["bytecode", "method_identifiers"])
    names = made["method_identifiers"].items()
    selectors = {name.split("(")[0]: bytes.fromhex(value[2:]) for name, value in names}
    return bytes.fromhex(made["bytecode"][2:]), selectors


@functools.cache
def variants():
    """The contract by (written late, locked)."""
    safe = SOURCE.read_text()
    late = _replace(_replace(safe, PAY, LATE), DEBIT, CHECK)
    free, free_and_late = (_replace(source, LOCK, "") for source in (safe, late))
    made = map(compile_market, [late, free, free_and_late])
    return dict(zip([(True, True), (False, False), (True, False)], made, strict=True)) | {
        (False, True): artifact()
    }


def with_a_thief(compiled):
    """A market in which the account BUYER is a contract that calls back."""
    market = Market(compiled, LAYOUT, RULES, [100] * LAYOUT.num_accounts)
    code = thief()[0] + market.address.rjust(32, b"\0")
    assert market.evm.create(address_of(99), address_of(BUYER), code).ok
    return market


def rob(market, message, units):
    """The thief asks for `units` and sends `message` when they arrive: (ok, tries, hits)."""
    padded = message + bytes(-len(message) % 32)
    data = encode(64, units, len(message)) + padded
    who, selectors = address_of(BUYER), thief()[1]
    ok = market.evm.call(address_of(99), who, selectors["rob"] + data).ok
    counts = [market.evm.call(address_of(99), who, selectors[n]).output for n in ("tries", "hits")]
    return ok, *(int.from_bytes(count, "big") for count in counts)


@pytest.mark.parametrize("is_locked", [True, False])
@pytest.mark.parametrize("is_late", [False, True])
def test_paying_out_again_from_inside_a_payment(is_late, is_locked):
    """Effects before the call, and the lock: either defence alone holds; without both, theft."""
    market = with_a_thief(variants()[is_late, is_locked])
    ask = market.artifact.selectors["pay_out"] + encode(60)
    ok, tries, hits = rob(market, ask, 60)
    taken = market.evm.state.get_balance(address_of(BUYER)) // UNIT
    left = by_name(market.words(), LAYOUT)["balances"][BUYER]
    assert market.evm.state.get_balance(market.address) // UNIT == 100 * LAYOUT.num_accounts - taken
    assert ok and left == 40
    if is_late and not is_locked:
        assert (tries, hits, taken) == (3, 3, 240)
    else:
        assert (tries, hits, taken) == (1, 0, 60)


def test_no_other_function_can_be_entered_from_a_payment_either():
    """With the lock every function refuses, and so do the views (no stale reads)."""
    market = with_a_thief(artifact())
    call = market.artifact.selectors
    for message in (
        call["bid"] + encode(0, 3),
        call["withdraw"],
        call["pay_in"],
        call["settle"] + encode(0),
        call["reset_job"] + encode(0),
        call["account"] + encode(int.from_bytes(address_of(BUYER), "big")),
        call["supply"],
    ):
        before = market.words().copy()
        ok, _, hits = rob(market, message, 1)
        assert ok and hits == 0
        changed = np.argwhere((market.words() != before).any(axis=1)).ravel()
        assert changed.tolist() == [BUYER, len(before) - 1]  # its balance, and the supply


def test_who_cannot_take_its_ether_harms_only_itself():
    market = with_a_thief(artifact())
    who = address_of(BUYER)
    # paid without a message set: the thief's own assertion fails, and the payment with it
    sent = market.call(who, "pay_out", 10)
    assert not sent.ok and by_name(market.words(), LAYOUT)["balances"][BUYER] == 100
    market.evm.state.set_balance(address_of(RIVAL), 0)
    assert market.call(address_of(RIVAL), "pay_out", 10).ok
    # its bid comes back like anybody else's: that credits it inside the contract, sends nothing
    assert market.call(who, "bid", 0, 3, 50, 0, 0, 0).ok
    assert market.call(address_of(RIVAL), "bid", 0, 3, 60, 0, 0, 0).ok
    market.evm.block += RULES["auction_window"]
    assert market.call(who, "close_auction", 0).ok
    assert by_name(market.words(), LAYOUT)["balances"][BUYER] == 100


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
    words = market.words()
    evm.set_balance(market.address, evm.get_balance(market.address) + 5 * UNIT)  # by selfdestruct
    assert (market.words() == words).all()


def test_what_is_paid_out_leaves_once():
    market = Both(funds=100).market
    who = address_of(BUYER)
    before = market.evm.state.get_balance(who)
    assert market.call(who, "pay_out", 60).ok
    assert reason_text(market.call(who, "pay_out", 60).output) == "NOT_ENOUGH_MONEY"
    assert reason_text(market.call(address_of(-1), "pay_out", 1).output) == "UNKNOWN_PARTY"
    assert market.evm.state.get_balance(who) == before + 60 * UNIT
    after = by_name(market.words(), LAYOUT)
    assert after["balances"][BUYER] == 40 and after["supply"] == 100 * LAYOUT.num_accounts - 60
    assert np.delete(after["balances"], BUYER).tolist() == [100] * (LAYOUT.num_accounts - 1)
