"""The market's contract on a chain, driven by the actions of the functional ledger.

One `Market` is one deployed `D2MMarket.vy`, with the second piece of its code, whose accounts are
held by made-up addresses. It takes the fields of `ledger.Action` and answers with a `Reason`; the
whole state is read back under the names of the functional ledger (`reading.py`). Who decides is at
the address `VOTES`: the votes (`chain.py`), or what a test puts there. Read first: `compiler.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from eth_utils import keccak

from contracts.compiler import Artifact, compile_contract
from contracts.evm import Evm, Sent
from contracts.work import plan_of
from d2m_jax.ledger import INT_MAX, Kind, Layout, Reason, commitment_of, digest_of

UNIT = 10**9  # wei
MONEY_MAX = 2**63 - 1  # units, and the cap that is none
FIRST_BLOCK = 1_000  # of the chain when the contract is created
DEFAULT_REPUTATION = 5_000  # as in the contract and in `new_ledger`
BIRTH = 7  # any number: the address of account 0 is just above it
ERROR = keccak(text="Error(string)")[:4]
REFUSED = keccak(text="Refused(uint256)")[:4]
SUPPLY_LIMIT = 100  # as in the contract: a refusal that the ledger, whose supply is fixed, lacks
NAMES = (b"D2M", b"D2MJ", b"D2MV", b"D2MC")
MARKET, JOBS, VOTES, COURT = (name.rjust(20, b"\0") for name in NAMES)

# What each kind of action calls, and with which fields of the action.
CALLS: dict[int, tuple[str, tuple[str, ...]]] = {
    Kind.REGISTER_SELLER: (
        "register_seller",
        ("tags", "value", "data", "amount", "ask", "max_tau"),
    ),
    Kind.REGISTER_NODE: ("register_node", ("amount",)),
    Kind.TOP_UP: ("top_up", ("amount",)),
    Kind.REQUEST_WITHDRAWAL: ("request_withdrawal", ("amount",)),
    Kind.WITHDRAW: ("withdraw", ()),
    Kind.SET_ASK: ("set_ask", ("amount", "value")),
    Kind.BID: ("bid", ("job", "tags", "amount", "value", "model", "metric")),
    Kind.SEAL: ("seal", ("job", "tags", "amount", "seal")),
    Kind.REVEAL: ("reveal", ("job", "amount", "value", "model", "metric", "salt")),
    Kind.CLOSE_AUCTION: ("close_auction", ("job",)),
    Kind.BOOK_ROUND: ("book_round", ("job",)),
    Kind.BOOK_VERIFICATION: ("book_verification", ("job",)),
    Kind.OPEN_DISPUTE: ("open_dispute", ("job", "value")),
    Kind.BOOK_DISPUTE: ("book_dispute", ("job", "papers")),
    Kind.SETTLE: ("settle", ("job",)),
    Kind.TIME_OUT: ("time_out", ("job",)),
    Kind.RESET_JOB: ("reset_job", ("job",)),
    Kind.TAKE: ("take", ("job",)),
    Kind.OPEN_METRIC: ("open_metric", ("job", "content", "salt")),
    Kind.BOOK_CASE: ("book_case", ("job", "papers", "found")),
}
OPEN_CASE = ("open_case", ("job", "value", "opening"))  # where the court decides disputes

Paper = tuple[int, bytes]  # a node, and the digest that it has revealed


class Code(NamedTuple):
    """The two pieces of the market's code."""

    market: Artifact
    jobs: Artifact


class Ruling(NamedTuple):
    """What a court has found in a case, as the functional ledger says it."""

    block: int = -1  # in which it was closed, -1 not yet
    digest: int = 0  # of the one content that goes with what has won
    root: int = 0  # that has won
    is_proven: bool = False  # a step was judged by which what was accepted is wrong
    finder: int = -1  # account that made the claim that has won


def compile_market(texts: Mapping[str, str] | None = None) -> Code:
    """Compiles both pieces, with changed texts by name if there are any."""
    return Code(compile_contract("D2MMarket", texts), compile_contract("D2MJobs", texts))


def _flat(values: Sequence[Any]) -> list[int]:
    return [x for value in values for x in (value if isinstance(value, tuple) else (value,))]


def encode(*values: int | Sequence[Any]) -> bytes:
    """Arguments as the ABI wants them: a word per integer, lists (also of tuples) behind the rest.

    Addresses, flags and 32-byte strings are integers too; negative ones in two's complement. Of
    bytes there may be any number.
    """
    head, tail = [], b""
    for value in values:
        if isinstance(value, int):
            head.append(value)
        elif isinstance(value, bytes):
            head.append(32 * len(values) + len(tail))
            tail += words_of(len(value)) + value + bytes(-len(value) % 32)
        else:
            head.append(32 * len(values) + len(tail))
            tail += words_of(len(value), *_flat(value))
    return words_of(*head) + tail


# What is hashed is said in fields that the ledger does not read. An action that the contract cannot
# know the words of, or that lies about them, hands on a number that nobody can open.
_seal, _metric = jax.jit(commitment_of), jax.jit(digest_of)


def seal_of(action: Mapping[str, Any], num_sellers: int) -> int:
    """The contract's commitment for the one of a SEAL: keccak256 instead of a mix of 32 bits.

    The words that are sealed are expected in payload = (amount, tau, content, salt of the metric)
    and extra = (model, metric, salt).
    """
    amount, tau, *metric = map(int, action["payload"][:4])
    model, digest, salt = map(int, action["extra"])
    job, buyer, value = (int(action[name]) for name in ("job", "actor", "value"))
    said = {"amount": amount, "tau_bps": tau, "model": model, "metric": digest, "salt": salt}
    if value != int(_seal(job=job, buyer=buyer, **said)):
        return value
    who = int.from_bytes(address_of(buyer), "big")
    words = model_of(model, num_sellers), metric_of(digest, metric), word_of(salt)
    return _hash(job, who, amount, tau, *words)


def metric_of(digest: int, words: Sequence[int]) -> int:
    """The contract's digest of a metric for that of the ledger; words = (content, salt, ..)."""
    content, salt = map(int, words[:2])
    if int(digest) != int(_metric(content, salt)):
        return word_of(int(digest))
    return _hash(word_of(content), word_of(salt))


def model_of(number: int, num_sellers: int) -> int:
    """The contract's digest of a model for that of the ledger: of the plan that it stands for."""
    return number_of(plan_of(int(number), num_sellers).digest) if number else 0


def word_of(number: int) -> int:
    """32 bytes for an int32, which is their lowest lane; 0 stays 0.

    The others are as random as those of a digest, since calldata is paid by the byte.
    """
    lane = (number % 2**32).to_bytes(4, "big")
    return int.from_bytes(keccak(lane)[:28] + lane, "big") if any(lane) else 0


def _hash(*values: int) -> int:
    return int.from_bytes(keccak(encode(*values)), "big")


def words_of(*values: int) -> bytes:
    """A word per integer."""
    return b"".join((int(value) % 2**256).to_bytes(32, "big") for value in values)


def address_of(account: int) -> bytes:
    """The address that holds an account; accounts out of range belong to strangers."""
    return (2**80 + BIRTH + account).to_bytes(20, "big")


def number_of(address: bytes) -> int:
    """An address as an argument."""
    return int.from_bytes(address, "big")


def hash_papers(papers: Sequence[Paper]) -> bytes:
    """What the contract keeps of a list: hash = keccak256(hash, node, digest), from 0 on."""
    hashed = bytes(32)
    for node, digest in papers:
        hashed = keccak(hashed + words_of(node) + digest)
    return hashed


class Market:
    """A deployed contract with all accounts taken and funded.

    Args:
        code: the compiled pieces.
        layout: how many of each role.
        rules: numbers, by the names of `DEFAULT_RULES`.
        funds: units of each account.
        court: the code that creates the court, which is there before the market; none without it.
    """

    def __init__(
        self,
        code: Code,
        layout: Layout,
        rules: Mapping[str, int],
        funds: Sequence[int],
        court: bytes = b"",
    ):
        self.code, self.layout = code, layout
        self.artifact = code.market
        self.selectors = {**code.jobs.selectors, **code.market.selectors}
        self.evm = Evm()
        self.evm.block = FIRST_BLOCK
        self.treasury = address_of(layout.treasury)
        self.address = MARKET
        self.last: Sent | None = None  # the latest transaction of `act`
        self.papers: dict[tuple[int, int], list[Paper]] = {}  # by slot and unit, as booked
        self.in_court = bool(rules["bisection"])
        self.programs = plan_of(0, layout.num_sellers).trained  # all models have the same
        if court:
            self.deploy(COURT, court)
        start = self.terms(rules)
        self.deploy(JOBS, code.jobs.code + start)
        self.birth = self.deploy(MARKET, code.market.code + start + words_of(number_of(JOBS)))
        for account, units in enumerate(funds):
            self.evm.state.set_balance(address_of(account), int(units) * UNIT)
            if account != layout.treasury:
                self.must(address_of(account), "join", account, value=int(units) * UNIT)
            elif units:
                self.must(self.treasury, "pay_in", value=int(units) * UNIT)

    def terms(self, rules: Mapping[str, int]) -> bytes:
        """Layout and rules as the constructors want them."""
        return self.layout_words() + self.rules_of(rules)

    def layout_words(self) -> bytes:
        """The layout in the order of the contract."""
        code = keccak(self.evm.state.get_code(COURT))  # the terms of the court are part of it
        others = map(number_of, (self.treasury, VOTES, COURT, code, self.programs))
        return words_of(*self.layout[:4], UNIT, *others)

    def rules_of(self, rules: Mapping[str, int]) -> bytes:
        """The rules in the order of the contract, where no cap is the most that there can be."""
        has_none = rules["reward_cap"] == INT_MAX
        numbers = {**rules, "reward_cap": MONEY_MAX if has_none else rules["reward_cap"]}
        return words_of(*(numbers[name] for name in self.artifact.names_of("rules")))

    def deploy(self, address: bytes, code: bytes) -> Sent:
        """Creates a contract.

        Raises:
            ValueError: it refused to start.
        """
        sent = self.evm.create(self.treasury, address, code)
        if not sent.ok:
            raise ValueError(f"the contract refused to start: {reason_text(sent.output)}")
        return sent

    def start_over(self, rules: Mapping[str, int], funds: Sequence[int]) -> None:
        """As if created anew with other terms and funds, without the transactions that it takes.

        The code (rules are immutables, behind it) and the storage are written directly.
        """
        evm, at, new = self.evm.state, self.artifact.slots, self.rules_of(rules)
        for artifact, address in zip(self.code, (MARKET, JOBS), strict=True):
            evm.set_code(address, artifact.set_fixed(evm.get_code(address), "R", new))
        evm.delete_storage(MARKET)
        for account, units in enumerate(funds):
            who, seat = number_of(address_of(account)), account + 1
            evm.set_storage(MARKET, in_map(at["seat_of"], who), seat)
            evm.set_storage(MARKET, in_map(at["owner_of"], seat), who)
            evm.set_storage(MARKET, at["accounts"] + seat, int(units))
        for seller in range(self.layout.num_sellers):
            evm.set_storage(MARKET, at["listings"] + seller, DEFAULT_REPUTATION << 128)
        supply = sum(int(units) for units in funds)
        evm.set_storage(MARKET, at["supply"], supply)
        evm.set_balance(MARKET, supply * UNIT)
        evm.lock_changes()
        self.evm.block, self.papers = FIRST_BLOCK, {}
        self.in_court = bool(rules["bisection"])

    def start_for(self, programs: bytes) -> None:
        """As if created anew for other work (`Plan.trained`)."""
        self.programs = programs
        for artifact, address in zip(self.code, (MARKET, JOBS), strict=True):
            code = self.evm.state.get_code(address)
            self.evm.state.set_code(address, artifact.set_fixed(code, "L", self.layout_words()))
        self.evm.state.lock_changes()

    def must(self, sender: bytes, name: str, *values: Any, value: int = 0) -> Sent:
        """A transaction that succeeds, or a ValueError that says why it does not."""
        sent = self.call(sender, name, *values, value=value)
        if not sent.ok:
            raise ValueError(f"{name}{values}: {reason_text(sent.output)}")
        return sent

    def call(self, sender: bytes, name: str, *values: Any, value: int = 0) -> Sent:
        """A transaction by function name; a name that the contract lacks calls nothing it knows."""
        selector = self.selectors.get(name, b"\xff\xff\xff\xff")
        return self.evm.call(sender, self.address, selector + encode(*values), value)

    def read(self, name: str, *values: Any) -> list[int]:
        """The words that a view returns."""
        sent = self.call(self.treasury, name, *values)
        words = range(0, len(sent.output), 32)
        return [int.from_bytes(sent.output[i : i + 32], "big") for i in words]

    def send(self, action: Mapping[str, Any]) -> Sent:
        """The transaction that an action (fields of `ledger.Action`, integers) stands for."""
        kind = int(action["kind"])
        in_court = self.in_court and kind == Kind.OPEN_DISPUTE
        name, fields = OPEN_CASE if in_court else CALLS.get(kind, ("", ()))
        values: list[Any] = []
        for field in fields:
            value = self.argument(name, field, action)
            values += value if field in ("opening", "found") else [value]
        return self.call(address_of(int(action["actor"])), name, *values)

    def argument(self, name: str, field: str, action: Mapping[str, Any]) -> Any:
        """What stands for a field of an action in a call."""
        extra = [int(x) for x in action["extra"]]
        if field == "opening":
            return self.opening(int(action["job"]), int(action["value"]))
        if field == "found":
            return self.found(int(action["job"]), action["payload"])
        if field == "seal":
            return seal_of(action, self.layout.num_sellers)
        if field == "model":
            return model_of(extra[0], self.layout.num_sellers)
        if field == "data":
            return word_of(int(action["target"]))
        if field == "metric":
            return metric_of(extra[1], action["payload"])
        if field == "salt":
            return word_of(extra[0 if name == "open_metric" else 2])
        if field == "content":
            return word_of(int(action["value"]))
        if field == "papers":
            known = self.disputed_papers(int(action["job"]))
            return [(node, number_of(digest)) for node, digest in known]
        if field in ("ask", "max_tau"):
            return extra[("ask", "max_tau").index(field)]
        return int(action[field])

    def opening(self, job: int, unit: int) -> list[Any]:
        """What has to be shown with a dispute of a unit, before the court; here nothing."""
        del job, unit
        return [*[0] * 6, [], b"", b"", 0, []]

    def ruling(self, case: int) -> Ruling:
        """What the court has found in a case; here never anything."""
        del case
        return Ruling()

    def read_ruling(self, selector: bytes, case: int, digests: Mapping[bytes, int]) -> Ruling:
        """What the court's contract says of a case.

        Args:
            selector: of `ruling`.
            case: its name.
            digests: functional digest of the content that goes with a root.
        """
        said = self.evm.call(address_of(0), COURT, selector + words_of(case)).output
        block, root, owner, proven = (said[i : i + 32] for i in range(0, 128, 32))
        account = number_of(owner) - number_of(address_of(0))
        return Ruling(
            number_of(block) - FIRST_BLOCK if any(block) else -1,
            digests.get(root, 0),
            number_of(root),
            any(proven),
            account if 0 <= account < self.layout.num_accounts else -1,
        )

    def found(self, job: int, payload: Sequence[int]) -> list[Any]:
        """A content, and what has to be shown with it; here nothing."""
        del job, payload
        return [b"", [], []]

    def act(self, action: Mapping[str, Any]) -> Reason:
        """Does an action and says how it went, as `ledger.apply` does.

        WAIT is no transaction: blocks pass by themselves, and only forwards.
        """
        if action["kind"] == Kind.WAIT:
            blocks = int(action["amount"])
            if blocks < 0 or self.block + blocks > INT_MAX:
                return Reason.BAD_VALUE
            self.evm.block += blocks
            return Reason.OK
        self.last = self.send(action)
        return Reason.OK if self.last.ok else Reason[reason_text(self.last.output)]

    def job_word(self, job: int) -> int:
        """The word of a slot that says where its job is, 0 of a slot that is none."""
        if not 0 <= job < self.layout.num_jobs:
            return 0
        return int(self.evm.state.get_storage(MARKET, self.artifact.slots["jobs"] + job))

    def disputed_papers(self, job: int) -> list[Paper]:
        """Who revealed what in the vote that is disputed in a slot; nothing, if none is."""
        return self.papers.get((job, (self.job_word(job) >> 224) - 1), [])

    @property
    def block(self) -> int:
        """Blocks since the contract was created."""
        return self.evm.block - FIRST_BLOCK


def in_map(slot: int, key: int) -> int:
    """Where Vyper keeps the entry of a HashMap: keccak(slot, key)."""
    return int.from_bytes(keccak(words_of(slot, key)), "big")


def reason_text(output: bytes) -> str:
    """Why a message was refused: the name of the `Reason`, or a text of the contract's own.

    Raises:
        ValueError: the contract failed without giving a reason.
    """
    if output[:4] == REFUSED:
        number = int.from_bytes(output[4:36], "big")
        return "SUPPLY_LIMIT" if number == SUPPLY_LIMIT else Reason(number).name
    if output[:4] != ERROR:
        raise ValueError(f"the contract failed without a reason: 0x{output.hex()}")
    size = int.from_bytes(output[36:68], "big")
    return output[68 : 68 + size].decode()
