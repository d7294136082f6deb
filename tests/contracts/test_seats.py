"""Who gets a seat: whoever takes it, and keeps something on it. Nobody is admitted or put out."""

import pytest

from contracts.market import MARKET, UNIT, address_of, number_of, reason_text
from tests.contracts.both import LAYOUT, NODES, RULES, SELLERS, registered
from tests.contracts.puppet import PuppetMarket, market_code

pytestmark = pytest.mark.slow

EMPTY = [0] * LAYOUT.num_accounts
LEAST = {0: RULES["reserve"], SELLERS[0]: RULES["seller_deposit"], NODES[0]: RULES["node_stake"]}
NEWCOMER = address_of(500)


def fresh(funds=EMPTY):
    """A market whose seats all have an owner with these funds."""
    return PuppetMarket(LAYOUT, RULES, funds)


def rich(market, who, units=10_000):
    market.evm.state.set_balance(who, units * UNIT)
    return who


def refusal(sent):
    return None if sent.ok else reason_text(sent.output)


def balance(market, who):
    return market.read("account", number_of(who))[0]


@pytest.mark.parametrize("account", LEAST)
def test_who_has_less_than_its_role_must_put_down_can_be_put_out(account):
    """And loses nothing: what it had is owed to it."""
    least = LEAST[account]
    for units, is_safe in ((least, True), (least - 1, False), (0, False)):
        funds = EMPTY.copy()
        funds[account] = units
        market = fresh(funds)
        before = market.read("supply")[0]
        sent = market.call(NEWCOMER, "join", account)
        assert refusal(sent) == ("ALREADY_DONE" if is_safe else None)
        if not is_safe:
            old = address_of(account)
            assert market.read("owed", number_of(old)) == [units]
            assert market.read("seat_of", number_of(old)) == [0]
            assert market.read("owner_of", account + 1) == [number_of(NEWCOMER)]
            assert market.read("supply") == [before]
            assert refusal(market.call(old, "pay_out", 1)) == "UNKNOWN_PARTY"
            got = market.evm.state.get_balance(old)
            assert refusal(market.call(old, "collect")) == (None if units else "NOT_ENOUGH_MONEY")
            assert market.evm.state.get_balance(old) == got + units * UNIT
            assert refusal(market.call(old, "collect")) == "NOT_ENOUGH_MONEY"
            assert market.read("supply") == [before - units]
            assert market.evm.state.get_balance(MARKET) == (before - units) * UNIT


def test_money_that_comes_along_makes_a_seat_safe_at_once():
    """Else somebody could slip in between joining and paying."""
    market = fresh()
    market.must(rich(market, NEWCOMER), "join", 0, value=RULES["reserve"] * UNIT)
    assert refusal(market.call(address_of(501), "join", 0)) == "ALREADY_DONE"
    assert balance(market, NEWCOMER) == RULES["reserve"]
    odd = market.call(rich(market, address_of(501)), "join", 1, value=UNIT + 1)
    assert refusal(odd) == "BAD_VALUE"  # whole units, here as everywhere


def test_an_address_has_one_seat_and_the_treasurys_is_not_to_be_had():
    market = fresh()
    market.must(NEWCOMER, "join", 0)
    assert refusal(market.call(NEWCOMER, "join", 1)) == "ALREADY_DONE"
    for account in (-1, LAYOUT.treasury, LAYOUT.num_accounts, 2**255 - 1, -(2**255)):
        assert refusal(market.call(address_of(501), "join", account)) == "UNKNOWN_PARTY"
    assert refusal(market.call(address_of(LAYOUT.treasury), "join", 1)) == "ALREADY_DONE"


def test_a_new_owner_begins_anew():
    """Neither the ban nor the listing of the one before it."""
    both = registered()
    market, seller = both.market, SELLERS[1]
    slot = market.artifact.slots["accounts"] + 1 + seller
    market.evm.state.set_storage(MARKET, slot, 1 << 225 | 5 << 128 | 7)  # banned, seven units left
    market.must(rich(market, NEWCOMER), "join", seller, value=500 * UNIT)
    account = market.read("account", number_of(NEWCOMER))
    assert account == [500, 0, 0, 0, 0, 0]
    assert market.read("listing", number_of(NEWCOMER)) == [0, 0, 0, 5_000, 0]
    assert market.read("commitment_of", seller + 1) == [0]
    market.must(NEWCOMER, "register_seller", 3, 5, 9, 100, 0, 10_000)
    assert market.read("owed", number_of(address_of(seller))) == [7]


def test_who_works_for_a_job_cannot_be_put_out_however_poor():
    """Buyer, disputer, bidders, matched sellers and pledged nodes, also those that lost it all."""
    both = registered(funds=[700] * LAYOUT.num_accounts)
    market = both.market
    both("BID", 0, tags=3, amount=500, value=5_000)("BID", 1, tags=3, amount=499, value=1)
    for buyer in (0, 1):  # leader and rival of the auction
        assert refusal(market.call(NEWCOMER, "join", buyer)) == "ALREADY_DONE"
    both("WAIT", amount=3)("CLOSE_AUCTION")("OPEN_METRIC", 0)
    both.book([11, 11, 22, 22])  # two lose their pledge
    everybody = [0, *SELLERS, *NODES]
    for account in everybody:
        slot = market.artifact.slots["accounts"] + 1 + account
        word = market.evm.state.get_storage(MARKET, slot)
        market.evm.state.set_storage(MARKET, slot, word >> 128 << 128)  # no money but in the job
    for account in everybody:
        assert refusal(market.call(NEWCOMER, "join", account)) == "ALREADY_DONE", account


def test_nobody_takes_all_seats_without_binding_the_money_for_each():
    """An attacker with money for k seats holds k of them; the rest stays free for all."""
    market = fresh()
    thief = [address_of(600 + i) for i in range(LAYOUT.num_nodes)]
    for node, who in zip(NODES, thief, strict=True):
        market.must(rich(market, who), "join", node)  # all of them, for nothing
    affords = 2
    for who in thief[:affords]:
        market.must(who, "pay_in", value=RULES["node_stake"] * UNIT)
    taken = []
    for i, node in enumerate(NODES):
        honest = rich(market, address_of(700 + i))
        sent = market.call(honest, "join", node, value=RULES["node_stake"] * UNIT)
        taken.append(sent.ok)
    assert taken == [False] * affords + [True] * (len(NODES) - affords)
    # Registering and leaving one unit behind does not hold a seat, either.
    market.must(thief[0], "register_node", RULES["node_stake"])
    market.must(thief[0], "request_withdrawal", RULES["node_stake"] - 1)
    market.evm.block += RULES["withdrawal_delay"]
    market.must(thief[0], "withdraw")
    market.must(thief[0], "pay_out", RULES["node_stake"] - 1)
    late = rich(market, address_of(800))
    market.must(late, "join", NODES[0], value=RULES["node_stake"] * UNIT)
    assert market.read("owed", number_of(thief[0])) == [1]


def test_one_rich_account_does_not_fill_the_supply():
    """All the ether there is, 1.3e8, is less than half of what the market holds at its unit."""
    market = fresh()
    all_ether = 130_000_000 * 10**18
    market.evm.state.set_balance(address_of(0), all_ether)
    market.must(address_of(0), "pay_in", value=all_ether)
    market.must(rich(market, address_of(1)), "pay_in", value=5 * UNIT)
    assert market.read("supply") == [all_ether // UNIT + 5]
    # At the smallest unit that the constructor takes it is still so.
    assert all_ether // 2**27 < 2**63 - 1
    market.evm.state.set_balance(address_of(2), 2**63 * UNIT)
    sent = market.call(address_of(2), "pay_in", value=(2**63 - 1) * UNIT)
    assert refusal(sent) == "SUPPLY_LIMIT"


def test_amounts_beyond_int32_move_as_they_should():
    """A price of 2^40: pools, pledges by stake, shares; to the unit."""
    big = 2**40
    rules = {**RULES, "by_stake": 1, "node_stake": 2**33, "seller_deposit": 2**34}
    market = PuppetMarket(LAYOUT, rules, [4 * big] * LAYOUT.num_accounts, market_code())
    for i, seller in enumerate(SELLERS):
        market.must(address_of(seller), "register_seller", 3, 5, 0, 2**34 + i, 0, 10_000)
    for i, node in enumerate(NODES):
        market.must(address_of(node), "register_node", 2**33 + 1_000 * i + 7)
    market.must(address_of(0), "bid", 0, 3, big, 5_000, 8, 9)
    market.evm.block += 3
    market.must(address_of(1), "close_auction", 0)
    state = market.state()
    assert state["jobs.pledged"][0].tolist() == [2**33 + 1_000 * i + 7 for i in range(len(NODES))]
    assert state["jobs.seller_pool"][0] == big * 7_000 // 10_000
    pools = sum(int(state[f"jobs.{x}_pool"][0]) for x in ("seller", "compute", "fee"))
    assert pools == big == state["jobs.price"][0]
    market.evm.block += rules["timeout"]
    market.must(address_of(1), "time_out", 0)
    after = market.state()
    assert after["balances"][0] == 4 * big
    assert after["stakes"][NODES[1]] == 2**33 + 1_007
    assert int(after["balances"].sum() + after["stakes"].sum()) == 4 * big * LAYOUT.num_accounts
