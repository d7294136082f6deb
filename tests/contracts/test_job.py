"""One job through titanoboa, as somebody would try the contract: names, views, events."""

import contextlib
import re

import boa
import pytest
from eth_abi import encode
from eth_utils import keccak

from contracts.market import SOURCE, UNIT, reason_text
from d2m_jax import ledger as L

TYPES = ["int256", "address", "int256", "int256", "bytes32", "bytes32", "bytes32"]
MODEL, CONTENT, SALT = (bytes([i]) * 32 for i in (1, 2, 3))
METRIC = keccak(CONTENT + SALT)
RULES = {**L.DEFAULT_RULES, "num_rounds": 2, "min_sellers": 2, "second_price": 1}


@pytest.fixture(scope="module")
def people():
    names = ("ann", "bob", "sue", "sam", "ned", "nan", "nik", "arbiter")
    return {name: boa.env.generate_address(name) for name in names}


@pytest.fixture(scope="module")
def market(people):
    made = boa.load(str(SOURCE), 2, 2, 3, 1, UNIT, people["arbiter"], tuple(RULES.values()))
    for account, name in enumerate(list(people)[:-1]):
        made.admit(people[name], account, sender=people["arbiter"])
        boa.env.set_balance(people[name], 5_000 * UNIT)
        made.pay_in(value=5_000 * UNIT, sender=people[name])
    return made


def test_a_job_from_the_first_bid_to_the_money(market, people):
    ann, bob, sue, sam, ned, nan, nik, arbiter = people.values()
    for seller, tags in ((sue, 3), (sam, 1)):
        market.register_seller(tags, 600, b"\x07" * 32, 1_000, 600, 9_500, sender=seller)
    for node in (ned, nan, nik):
        market.register_node(1_000, sender=node)
    bids = {ann: (1_000, 9_000, MODEL, METRIC, SALT), bob: (2_000, 9_500, MODEL, METRIC, SALT)}
    for buyer, said in bids.items():
        market.seal(0, 1, 3_000, keccak(encode(TYPES, (0, buyer, *said))), sender=buyer)
    with refuses("ALREADY_DONE"):
        market.seal(0, 1, 2_000, SALT, sender=ann)
    assert market.account(ann).balance == market.account(bob).balance == 2_000
    boa.env.time_travel(blocks=20)
    with refuses("BAD_VALUE"):
        market.reveal(0, 1_001, 9_000, MODEL, METRIC, SALT, sender=ann)
    for buyer, said in bids.items():
        market.reveal(0, *said, sender=buyer)
    with refuses("TOO_EARLY"):
        market.close_auction(0, sender=sue)
    boa.env.time_travel(blocks=10)
    market.close_auction(0, sender=sue)
    assert events(market) == ["AuctionClosed(job=0, price=1000, sellers=2)"]
    assert market.account(ann).balance == 5_000 and market.account(bob).balance == 4_000
    assert market.offer(0, bob)[2:] == (MODEL, METRIC)
    assert market.account(sue).stake == 0 and market.place(0, sue).locked == 1_000

    with refuses("NOT_AUTHORISED"):
        market.settle_round(0, [1, 1, 1], sender=ned)
    market.settle_round(0, [1, 2, 3], sender=arbiter)  # one agrees, one is wrong, one is silent
    assert events(market) == ["RoundSettled(job=0, round=1, paid=125, slashed=1100)"]
    assert market.post(0, ned) == (1_000, (0, 0, 125, 0))
    assert market.post(0, nan) == (0, (1_000, 1_000, 0, 125))  # wrong: what it missed is noted
    assert market.post(0, nik) == (900, (100, 100, 0, 0))
    market.settle_round(0, [1, 0, 1], sender=arbiter)
    market.rate_sellers(0, [1, 2], sender=arbiter)
    assert (market.listing(sue).reputation_bps, market.listing(sam).reputation_bps) == (
        5_500,
        4_500,
    )
    market.open_metric(0, CONTENT, SALT, sender=bob)
    market.report_metric(0, 9_600, 1_000, [3, 1], sender=arbiter)
    with refuses("TOO_EARLY"):
        market.settle(0, sender=sue)
    boa.env.time_travel(blocks=10)
    market.settle(0, sender=sue)
    told = "Finished(job=0, phase=7, to_sellers=700, to_arbiter=50, to_buyer=1)"
    assert events(market) == [told]
    with refuses("ALREADY_DONE"):
        market.settle(0, sender=sue)
    assert market.account(sue).balance == 4_000 + 525 and market.account(sue).stake == 1_000
    assert market.account(sam).balance == 4_000 + 175
    assert market.account(bob).balance == 5_000 - 1_000 + 1
    # 1100 were held: half is burned, half shared among the nodes as 187 to 62
    assert market.account(ned).balance == 4_000 + 187 + 413
    assert [market.account(node).stake for node in (ned, nan, nik)] == [1_000, 0, 900]
    assert market.account(arbiter).balance == 50 and market.burned() == 550

    market.pay_out(4_525, sender=sue)
    assert boa.env.get_balance(sue) == 4_525 * UNIT
    assert boa.env.get_balance(market.address) == market.supply() * UNIT


@contextlib.contextmanager
def refuses(reason):
    """A refusal is a number: `Refused(uint256)`."""
    with pytest.raises(boa.BoaError) as failed:
        yield
    assert reason_text(failed.value.stack_trace.last_frame.vm_error.args[0]) == reason


def events(market):
    """The events of the last transaction, as text with names for the addresses."""
    return [re.sub(r"(address|buyer)=Address\(.*?\), ", "", str(log)) for log in market.get_logs()]
