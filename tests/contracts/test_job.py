"""One job through titanoboa, as somebody would try the contracts: names, views, events, votes."""

import contextlib
import re

import boa
import pytest
from eth_abi import decode, encode
from eth_utils import keccak

from contracts.compiler import FOLDER
from contracts.gas import one_set
from contracts.market import UNIT, reason_text
from contracts.votes import encode_content, table_words, terms_words
from d2m_jax import ledger as L

TYPES = ["int256", "address", "int256", "int256", "bytes32", "bytes32", "bytes32"]
MODEL, CONTENT, SALT = (bytes([i]) * 32 for i in (1, 2, 3))
METRIC = keccak(CONTENT + SALT)
RULES = {**L.DEFAULT_RULES, "num_rounds": 1, "min_sellers": 2, "second_price": 1}
PEOPLE = ("ann", "bob", "sue", "sam", "ned", "nan", "nik")


def deployer(name):
    return boa.load_partial(str(FOLDER / f"{name}.vy"))


class Borrowed:
    """The functions of the second piece of code, called at the address of the market."""

    def __init__(self, code, address):
        self.code, self.address = code, address

    def __call__(self, name, *values, sender, refused=None):
        """A transaction; it fails unless it is refused with the given reason."""
        data = getattr(self.code, name).prepare_calldata(*values)
        done = boa.env.execute_code(to_address=self.address, sender=sender, data=data)
        assert done.is_error == (refused is not None)
        if refused:
            assert reason_text(done.output) == refused
        return done.get_log_entries()


@pytest.fixture(scope="module")
def people():
    return {name: boa.env.generate_address(name) for name in (*PEOPLE, "treasury")}


@pytest.fixture(scope="module")
def contracts(people):
    """The market, its functions of both pieces, and the votes at the address it was told."""
    market, jobs = deployer("D2MMarket"), deployer("D2MJobs")
    votes_at = boa.env.generate_address("votes")
    no_court = "0x" + "00" * 20, bytes(32), bytes(32)
    layout = (2, 2, 3, 1, UNIT, people["treasury"], votes_at, *no_court)
    rules = tuple(RULES[name] for name in order_of_rules())
    code = jobs.deploy(layout, rules)
    made = market.deploy(layout, rules, code.address)
    assert made.JOBS_CODE() == code.address
    terms = one_set(3, 3, 1)
    sets, scores, bounds = table_words(terms)
    halves = [[sets[0:4], sets[4:8]], [sets[8:12], sets[12:16]]]
    sizes = made.address, 1, 3, 2, tuple(terms_words(terms))
    tables = *halves, terms.scores.shape[0], scores, bounds
    votes = deployer("D2MVotes").deploy(*sizes, *tables, override_address=votes_at)
    for account, name in enumerate(PEOPLE):
        boa.env.set_balance(people[name], 5_000 * UNIT)
        made.join(account, value=5_000 * UNIT, sender=people[name])
    return made, Borrowed(code, made.address), votes


def order_of_rules():
    text = (FOLDER / "store.vy").read_text()
    body = text.split("struct Rules:\n")[1].split("\n\n")[0]
    return re.findall(r"(\w+): uint256", body)


def vote(votes, people, papers, content):
    """The nodes commit and reveal; the content of the accepted digest is told."""
    votes.open_unit(0)
    votes.draw(0)
    seed = votes.seeds(0)
    for node, (name, digest) in enumerate(papers.items()):
        words = seed, 1, node, digest, SALT
        promise = keccak(encode(["bytes32", "uint256", "uint256", "bytes32", "bytes32"], words))
        votes.commit_vote(0, promise, sender=people[name])
    boa.env.time_travel(blocks=2)
    for name, digest in papers.items():
        votes.reveal_vote(0, digest, SALT, sender=people[name])
    votes.tally(0)
    votes.open_content(0, content)


def test_a_job_from_the_first_bid_to_the_money(contracts, people):
    market, jobs, votes = contracts
    ann, bob, sue, sam, ned, nan, nik, treasury = people.values()
    for seller, tags in ((sue, 3), (sam, 1)):
        market.register_seller(tags, 600, b"\x07" * 32, 1_000, 600, 9_500, sender=seller)
    for node in (ned, nan, nik):
        market.register_node(1_000, sender=node)
    bids = {ann: (1_000, 9_000, MODEL, METRIC, SALT), bob: (2_000, 9_500, MODEL, METRIC, SALT)}
    for buyer, said in bids.items():
        market.seal(0, 1, 3_000, keccak(encode(TYPES, (0, buyer, *said))), sender=buyer)
    with refuses("ALREADY_DONE"):
        market.seal(0, 1, 2_000, SALT, sender=ann)
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

    round_ = encode_content([0, 0, 77, 0, 0, 1, 2, 0, 0], False)
    odd = bytes([9]) * 32
    papers = dict(zip(("ned", "nan", "nik"), (keccak(round_), odd, keccak(round_)), strict=True))
    jobs("book_round", 0, sender=ned, refused="TOO_EARLY")
    vote(votes, people, papers, round_)
    jobs("book_round", 0, sender=nan)  # who was wrong may book it as well
    assert market.post(0, ned) == (1_000, 0, 62, 1_000)
    assert market.post(0, nan) == (0, 1_000, 0, 1_000)
    assert (market.listing(sue).reputation_bps, market.listing(sam).reputation_bps) == (
        5_500,
        4_500,
    )
    with refuses("WRONG_PHASE", of=votes):
        votes.open_unit(0)  # nothing to verify before the examples are known
    jobs("open_metric", 0, CONTENT, SALT, sender=bob)
    final = (
        (9_600 | 1_000 << 32).to_bytes(32, "big")
        + MODEL
        + METRIC
        + b"\x05" * 32  # its work
        + (3 | 1 << 16).to_bytes(32, "big")
        + bytes(32)
    )
    votes.open_unit(0)
    votes.draw(0)
    left = [n for n in range(3) if votes.ballot(0, n)[0].serial == 2]
    assert left == [0, 2]  # who has nothing left to lose has no seat
    seed = votes.seeds(0)
    for node, name in ((0, "ned"), (2, "nik")):
        words = seed, 1, node, keccak(final), SALT
        promise = keccak(encode(["bytes32", "uint256", "uint256", "bytes32", "bytes32"], words))
        votes.commit_vote(0, promise, sender=people[name])
    boa.env.time_travel(blocks=2)
    for name in ("ned", "nik"):
        votes.reveal_vote(0, keccak(final), SALT, sender=people[name])
    votes.tally(0)
    votes.open_content(0, final)
    jobs("book_verification", 0, sender=sam)
    jobs("settle", 0, sender=sue, refused="TOO_EARLY")
    boa.env.time_travel(blocks=10)
    ((_, topics, data),) = jobs("settle", 0, sender=sue)
    name = f"Finished({','.join(['uint256'] * 5)})"
    assert topics[0] == int.from_bytes(keccak(text=name), "big")
    assert decode(["uint256"] * 4, data) == (L.Phase.SETTLED, 700, 50, 2)
    jobs("settle", 0, sender=sue, refused="ALREADY_DONE")
    assert market.account(sue).balance == 4_000 + 525 and market.account(sue).stake == 1_000
    assert market.account(sam).balance == 4_000 + 175
    assert market.account(bob).balance == 5_000 - 1_000 + 2
    # 1000 were held: the two that earned 124 each get as much again, the rest is burned
    assert market.account(ned).balance == market.account(nik).balance == 4_000 + 124 + 124
    assert [market.account(node).stake for node in (ned, nan, nik)] == [1_000, 0, 1_000]
    assert market.account(treasury).balance == 50 and market.burned() == 1_000 - 248

    market.pay_out(4_525, sender=sue)
    assert boa.env.get_balance(sue) == 4_525 * UNIT
    assert boa.env.get_balance(market.address) == market.supply() * UNIT


@contextlib.contextmanager
def refuses(reason, of=None):
    """A refusal of the market is a number, one of the votes a text."""
    with pytest.raises(boa.BoaError) as failed:
        yield
    if of is None:
        assert reason_text(failed.value.stack_trace.last_frame.vm_error.args[0]) == reason
    else:
        assert reason in str(failed.value)


def events(market):
    """The events of the last transaction, as text with names for the addresses."""
    return [re.sub(r"(address|buyer)=Address\(.*?\), ", "", str(log)) for log in market.get_logs()]
