"""One job through titanoboa, as somebody would try the contract: names, views, events."""

import re

import boa
import pytest

from contracts.market import SOURCE, UNIT
from d2m_jax import ledger as L

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
        market.register_seller(tags, 600, b"\x07" * 32, 1_000, sender=seller)
    for node in (ned, nan, nik):
        market.register_node(1_000, sender=node)
    market.bid(0, 1, 1_000, 9_000, sender=ann)
    with boa.reverts("BID_TOO_LOW"):
        market.bid(0, 1, 1_049, 9_000, sender=bob)
    market.bid(0, 1, 2_000, 9_500, sender=bob)
    assert market.account(ann).balance == 5_000
    with boa.reverts("TOO_EARLY"):
        market.close_auction(0, sender=sue)
    boa.env.time_travel(blocks=20)
    market.close_auction(0, sender=sue)
    assert events(market) == ["Priced(job=0, price=1000)"]
    market.match_sellers(0, sender=sam)
    assert market.account(sue).stake == 0 and market.place(0, sue).locked == 1_000

    with boa.reverts("NOT_AUTHORISED"):
        market.settle_round(0, [1, 1, 1], sender=ned)
    market.settle_round(0, [1, 2, 3], sender=arbiter)  # one agrees, one is wrong, one is silent
    assert events(market) == ["RoundSettled(job=0, round=1, paid=675, slashed=1100)"]
    assert market.account(ned).balance == 4_000 + 675
    assert (market.account(nan).stake, market.account(nik).stake) == (0, 900)
    market.settle_round(0, [1, 0, 1], sender=arbiter)
    market.rate_sellers(0, [1, 2], sender=arbiter)
    assert (market.listing(sue).reputation_bps, market.listing(sam).reputation_bps) == (
        5_500,
        4_500,
    )
    market.report_metric(0, 9_600, 1_000, [3, 1], sender=arbiter)
    with boa.reverts("TOO_EARLY"):
        market.settle(0, sender=sue)
    boa.env.time_travel(blocks=10)
    market.settle(0, sender=sue)
    told = "Finished(job=0, phase=8, to_sellers=700, to_arbiter=50, to_buyer=1)"
    assert events(market) == [told]
    with boa.reverts("ALREADY_DONE"):
        market.settle(0, sender=sue)
    assert market.account(sue).balance == 4_000 + 525 and market.account(sue).stake == 1_000
    assert market.account(sam).balance == 4_000 + 175
    assert market.account(bob).balance == 5_000 - 1_000 + 1
    assert market.account(arbiter).balance == 50 and market.burned() == 550

    market.pay_out(4_525, sender=sue)
    assert boa.env.get_balance(sue) == 4_525 * UNIT
    assert boa.env.get_balance(market.address) == market.supply() * UNIT


def events(market):
    """The events of the last transaction, as text without the addresses."""
    return [re.sub(r"address=Address\(.*?\), ", "", str(log)) for log in market.get_logs()]
