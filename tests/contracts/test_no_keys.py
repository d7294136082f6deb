"""Nobody has a power that others have not, in any of the contracts.

From the interface and the text: no function compares the caller with a fixed party. And in play:
every key that there is is stolen, and nobody else's money moves but by rules open to everybody.
"""

import re

import pytest

from contracts.compiler import compile_contract, source_of
from contracts.market import UNIT, address_of, number_of
from d2m_jax import ledger as L
from tests.contracts.both import LAYOUT, NODES, SELLERS, TREASURY, Both, challenged, matched
from tests.contracts.machines import artifacts
from tests.contracts.puppet import market_code

pytestmark = pytest.mark.slow

# Every function that changes something, and for whom: its caller alone, or by rule for all.
OWN = {
    *("pay_in", "pay_out", "collect", "join"),
    *("register_seller", "register_node", "set_ask", "top_up"),
    *("request_withdrawal", "withdraw", "bid", "seal", "reveal"),
    *("open_metric", "take", "open_dispute", "open_case", "commit_vote", "reveal_vote"),
    "claim",  # before the court: with the caller's own bond
}
FOR_ALL = {
    *("close_auction", "book_round", "book_verification", "book_dispute", "book_case"),
    # Of the court: its cases are named after who opens them, and every move is open to everybody.
    *("open_for", "commit", "play", "judge", "close"),
    *("settle", "time_out", "reset_job"),
    *("open_unit", "draw", "tally", "open_content"),
}
CONTRACTS = ("D2MMarket", "D2MJobs", "D2MVotes", "D2MCourt")
# The only places where the caller is compared with anything: what it owns, never a fixed party.
COMPARED = {
    "store._check(store.seat_of[msg.sender] == 0, store.ALREADY_DONE)",  # one seat per address
    "store._check(store.seat_of[msg.sender] == j.buyer, store.NOT_AUTHORISED)",  # its own job
}


def writing(artifact):
    """Names of the functions that may change something."""
    return {
        entry["name"]
        for entry in artifact.abi
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
    }


def test_every_function_is_on_the_list():
    """A new function of any contract has to be put on one of the lists above, and looked at."""
    codes = artifacts()
    found = [writing(x) for x in (*codes.market, codes.votes, codes.court)]
    assert set().union(*found) == OWN | FOR_ALL | {"open_case"}
    assert not found[0] & found[1]  # of the market's two pieces a function is in one


@pytest.mark.parametrize("name", [*CONTRACTS, "store"])
def test_no_line_compares_the_caller_with_a_fixed_party(name):
    lines = [line.strip() for line in source_of(name).splitlines()]
    uses = {line for line in lines if "msg.sender" in line}
    tests = {line for line in uses if re.search(r"assert|if |==|!=|_check|while", line)}
    assert tests <= COMPARED
    assert not any("tx.origin" in line or "selfdestruct" in line for line in lines)
    # The treasury's seat is named where fees go, where it is taken, and where seats end.
    fixed = [line for line in lines if "TREASURY" in line]
    assert not any("msg.sender" in line or "_caller()" in line for line in fixed)


@pytest.mark.parametrize("name", ["D2MMarket", "D2MJobs"])
def test_seats_only_bound_a_role(name):
    """What depends on who calls asks for a range of seats: buyers, sellers or nodes, never one."""
    text = source_of(name)
    asked = re.findall(r"store\._check\((.*seat.*), store\.NOT_AUTHORISED\)", text)
    assert set(asked) <= {
        "seat > store.SELLERS_AFTER and seat <= store.NODES_AFTER",
        "seat >= first and seat <= last",
        "seat <= store.SELLERS_AFTER",
        "store.seat_of[msg.sender] == j.buyer",
    }
    spans = set(re.findall(r"self\._newcomer\((.*)\)", text))
    assert spans <= {
        "store.SELLERS_AFTER + 1, store.NODES_AFTER",
        "store.NODES_AFTER + 1, store.TREASURY - 1",
    }


def test_nothing_fixed_can_be_changed():
    """Terms, votes, treasury and the second piece of code are immutables: no storage holds them."""
    for name in CONTRACTS:
        artifact = compile_contract(name)
        assert not {"R", "L", "T", "JOBS_CODE", "MARKET"} & set(artifact.slots)
    assert {"R", "L", "JOBS_CODE"} <= set(market_code().market.fixed)


def attempts(thief, victim):
    """All that a stolen key can send: every function, with arguments that would name a victim."""
    who = number_of(address_of(victim))
    yield from (("pay_out", amount) for amount in (1, 10**6))
    yield from (("join", account) for account in range(-1, LAYOUT.num_accounts + 1))
    yield from (("collect",), ("withdraw",), ("top_up", 1), ("request_withdrawal", 10))
    yield from (("register_node", 100), ("register_seller", 3, 5, 0, 100, 0, 10_000))
    yield from (("set_ask", 0, 10_000), ("bid", 1, 1, 100, 1, 0, 0), ("seal", 1, 1, 100, 7))
    for job in (0, 1):
        for name in ("close_auction", "book_round", "book_verification", "settle", "time_out"):
            yield name, job
        yield from (("take", job), ("reset_job", job), ("book_dispute", job, []))
        yield from (("open_metric", job, who, who), ("open_dispute", job, 0))
        yield from (("book_case", job, [], b"", [], []), ("close_case", job, 1))
        yield "open_case", job, 0, *[0] * 6, [], b"", b"", 0, []
    # Names that were an arbiter's, or never were.
    yield from (("ban", who, 1), ("admit", who, 0), ("settle_round", 0, []), ("set_votes", who))
    yield from (("slash_seller", 0, who), ("report_metric", 0, 9_999, 0, []))
    yield from (("resolve_dispute", 0, 1, []), ("transfer", who, 1), ("rate_sellers", 0, []))
    del thief


@pytest.mark.parametrize("world", [matched, challenged])
@pytest.mark.parametrize("thief", [TREASURY, 0, 1, SELLERS[0], NODES[0], -1])
def test_a_stolen_key_moves_nobody_elses_money(world, thief):
    """Each key on its own, the treasury's (which was the arbiter's, and creates the contracts) too.

    What others have outside of jobs never falls. What they have in a job stays there: nothing is
    booked, settled or timed out before its time, whoever asks.
    """
    both = world()
    before = both.market.state()
    others = [account for account in range(LAYOUT.num_accounts) if account != thief]
    both.market.evm.state.set_balance(address_of(thief), 5 * UNIT)
    for name, *values in attempts(thief, SELLERS[1]):
        both.market.call(address_of(thief), name, *values)
    after = both.market.state()
    for name in ("balances", "stakes", "registered", "banned"):
        assert (after[name][others] == before[name][others]).all(), name
    for name in ("locked", "pledged", "held", "earned", "weights", "excluded", "matched"):
        own = [account for account in SELLERS + NODES if account != thief]
        first = SELLERS[0] if before[f"jobs.{name}"].shape[1] == len(SELLERS) else NODES[0]
        span = range(before[f"jobs.{name}"].shape[1])
        kept = [i for i in span if first + i in own]
        same = after[f"jobs.{name}"][0][kept] == before[f"jobs.{name}"][0][kept]
        assert same.all(), name
    for name in ("price", "seller_pool", "fee_pool", "compute_pool"):
        assert after[f"jobs.{name}"][0] == before[f"jobs.{name}"][0], name


def test_all_keys_but_one_together_cannot_take_what_the_last_one_holds():
    """Everybody conspires against one seller: its free money and its stake stay its own."""
    victim = SELLERS[1]
    both = challenged()
    before = both.market.state()
    for thief in (*range(LAYOUT.num_accounts), -1):
        if thief != victim:
            for name, *values in attempts(thief, victim):
                both.market.call(address_of(thief), name, *values)
    both.market.evm.block += 10_000
    for thief in (TREASURY, 0, NODES[0]):
        for name, *values in attempts(thief, victim):
            both.market.call(address_of(thief), name, *values)
    after = both.market.state()
    assert after["balances"][victim] >= before["balances"][victim]
    assert after["stakes"][victim] >= before["stakes"][victim]
    assert not after["banned"][victim]


def test_whoever_creates_the_contracts_has_no_part_in_them():
    """The creator's address is a stranger's: it can do nothing at all without a seat."""
    both = Both()
    creator = address_of(-9)
    for name, *values in attempts(-9, 0):
        sent = both.market.call(creator, name, *values)
        if name != "join":
            assert not sent.ok, name


def test_the_votes_ask_only_whether_a_voter_has_its_seat():
    text = source_of("D2MVotes")
    assert text.count("msg.sender") == 1 and "node_of(msg.sender)" in text
    kinds = {kind.name.lower() for kind in L.Kind if kind >= L.Kind.OPEN_UNIT}
    assert kinds <= OWN | FOR_ALL


def test_the_calls_that_leave_a_contract_are_these():
    """Ether to the caller, the second piece of code, and questions that change nothing."""
    found = {
        (name, call)
        for name in (*CONTRACTS, "store")
        for call in re.findall(r"(?:raw_call\(\w+(?:\.\w+)?|staticcall \w+\(.*?\)\.\w+|extcall.*)",
                               source_of(name))
    }  # fmt: skip
    assert found == {
        ("D2MMarket", "raw_call(msg.sender"),
        ("D2MMarket", "raw_call(JOBS_CODE"),
        ("D2MMarket", "staticcall IJobs(jobs_code).terms_hash"),
        ("D2MJobs", "staticcall IVotes(store.L.votes).decision"),
        ("D2MJobs", "staticcall IVotes(store.L.votes).content_of"),
        ("D2MJobs", "staticcall ICourt(store.L.court).ruling"),
        ("D2MJobs", "extcall ICourt(store.L.court).open_for("),
        ("D2MCourt", "raw_call(msg.sender"),
        ("D2MVotes", "staticcall IMarket(market).for_votes"),
        ("D2MVotes", "staticcall IMarket(MARKET).wanted"),
        ("D2MVotes", "staticcall IMarket(MARKET).electorate"),
        ("D2MVotes", "staticcall IMarket(MARKET).node_of"),
    }
    text = source_of("D2MMarket")
    sending = text.index("    raw_call(msg.sender")
    assert text[sending:].splitlines()[1].strip() == ""  # nothing comes after it
