"""Every `assert` of the contract is hit: by the random traces, or by the cases here."""

import re

import pytest

from contracts.evm import Evm
from contracts.market import (
    SOURCE,
    SUPPLY_LIMIT,
    UNIT,
    Market,
    address_of,
    encode,
    line_of,
    reason_text,
    terms,
)
from d2m_jax import ledger as L
from tests.contracts.both import ARBITER, BUYER, LAYOUT, challenged, matched, shared_market
from tests.contracts.machines import artifact, played

START = {"layout": tuple(LAYOUT), "unit": UNIT, "arbiter": 77, "rules": {}}
BAD_STARTS = [
    *({"layout": layout} for layout in ((3, 3, 4, 0), (3, 3, 4, 17), (3, 257, 4, 2))),
    *({"layout": layout} for layout in ((3, 3, 1025, 2), (257, 3, 4, 2))),
    *({"unit": 0}, {"unit": 2**129}, {"arbiter": 0}),
    *({"rules": {name: 0}} for name in ("reserve", "num_rounds", "node_stake")),
    *({"rules": {name: 2**31}} for name in ("timeout", "reward_cap", "withdrawal_delay")),
    *({"rules": {name: 10_001}} for name in L.DEFAULT_RULES if name.endswith("_bps")),
    *({"rules": {name: 2}} for name in ("sealed", "second_price", "partial_payment", "refund_fee")),
    {"rules": {"seller_bps": 9_501, "fee_bps": 500}},
    {"rules": {"withdrawal_delay": 199}},
]


def start(**changes):
    """Runs the constructor."""
    values = {**START, **changes}
    rules = terms({**L.DEFAULT_RULES, **values["rules"]})
    arguments = encode(*values["layout"], values["unit"], values["arbiter"]) + rules
    return Evm().create(address_of(0), address_of(1), artifact().code + arguments)


def test_the_constructor_refuses_what_the_functional_ledger_refuses():
    assert start().ok
    for changes in BAD_STARTS:
        sent = start(**changes)
        expected = "RULES" if "rules" in changes else "LAYOUT"
        assert not sent.ok and reason_text(sent.output) == expected, changes
        if "rules" in changes and "withdrawal_delay" not in changes["rules"]:
            with pytest.raises(ValueError, match="must"):
                L.make_rules(**changes["rules"])


def seats():
    """Refusals of admission: (sender, who, account, reason)."""
    taken, new = int.from_bytes(address_of(BUYER), "big"), int.from_bytes(address_of(50), "big")
    return [
        (BUYER, new, 0, "NOT_AUTHORISED"),
        (-1, new, 0, "UNKNOWN_PARTY"),
        (ARBITER, new, -1, "UNKNOWN_PARTY"),
        (ARBITER, new, ARBITER, "UNKNOWN_PARTY"),  # its own seat is not to be given away
        (ARBITER, 0, 0, "BAD_VALUE"),
        (ARBITER, new, BUYER, "ALREADY_DONE"),
        (ARBITER, taken, 1, "ALREADY_DONE"),
    ]


def other_refusals():
    """What no action of the functional ledger leads to: (sent, expected reason)."""
    shared_market().start_over(L.DEFAULT_RULES, [0] * LAYOUT.num_accounts)
    for sender, who, account, reason in seats():
        yield shared_market().call(address_of(sender), "admit", who, account), reason
    market = challenged().market
    me = address_of(BUYER)
    yield market.call(me, "pay_in"), "BAD_VALUE"
    yield market.call(me, "pay_out", 0), "BAD_VALUE"
    yield market.call(me, "no such function"), "UNKNOWN_ACTION"
    market.evm.state.set_balance(me, 2**31 * UNIT)
    yield market.call(me, "pay_in", value=(2**31 - 1) * UNIT), "SUPPLY_LIMIT"
    # payloads of another length than the number of sellers or nodes
    market = matched().market
    arbiter = address_of(ARBITER)
    for outcomes in ([], [1, 1, 1], [1, 1, 1, 1, 0]):
        yield market.call(arbiter, "settle_round", 0, outcomes), "BAD_VALUE"
    assert market.call(arbiter, "settle_round", 0, [1, 1, 1, 1]).ok
    yield market.call(arbiter, "rate_sellers", 0, [1, 1]), "BAD_VALUE"
    yield market.call(arbiter, "report_metric", 0, 9_000, 0, [1, 1, 1, 1]), "BAD_VALUE"


def test_refusals_that_the_functional_ledger_does_not_know():
    for sent, reason in other_refusals():
        assert not sent.ok and reason_text(sent.output) == reason


def test_every_check_of_the_contract_is_hit():
    """Mechanically: every check in the source has refused, with the reason it is written with."""
    lines, compiled = SOURCE.read_text().splitlines(), artifact()
    pattern = r"\s+(assert |self._check\()"
    written = {i + 1 for i, line in enumerate(lines) if re.match(pattern, line)}
    assert len(written) > 60

    def check(position):
        """A check alone in its block is mapped to the block: take the next one written."""
        line = line_of(compiled, position)
        return min(w for w in written if w >= line)

    positions = {refused for trace in played()["traces"] for refused in trace[5]}
    seen = {(check(position), reason) for position, reason in positions}
    assert len(seen) > 40  # by the random traces alone
    seen |= {(check(sent.back), reason) for sent, reason in other_refusals()}
    starts = [start(**changes) for changes in BAD_STARTS]
    seen |= {(compiled.refusals[sent.pc], reason_text(sent.output)) for sent in starts}
    assert all(reason in lines[line - 1] for line, reason in seen)
    missed = [f"{i}: {lines[i - 1].strip()}" for i in sorted(written - {i for i, _ in seen})]
    assert not missed, "\n".join(missed)


def test_the_numbers_of_the_reasons_are_those_of_the_ledger():
    """And no reason is written down that no check gives."""
    source = SOURCE.read_text()
    numbers = dict(re.findall(r"^([A-Z_]+): constant\(uint256\) = (\d+)$", source, re.M))
    for reason in L.Reason:
        if reason != L.Reason.OK:
            assert int(numbers[reason.name]) == reason
            assert source.count(f", {reason.name})") >= 1
    assert int(numbers["SUPPLY_LIMIT"]) == SUPPLY_LIMIT > max(L.Reason)


def test_the_deployed_code_is_below_the_limit_of_ethereum():
    """24,576 bytes (EIP-170), rules and layout included; py-evm enforces it too."""
    market = shared_market()
    assert 20_000 < len(market.evm.state.get_code(market.address)) < 24_576
    assert isinstance(market, Market)
