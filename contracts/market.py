"""The market's contract on a chain, driven by the actions of the functional ledger.

One `Market` is one deployed `D2MMarket.vy` whose accounts are held by made-up addresses. It takes
the fields of `ledger.Action` and answers with a `Reason`, and reads the whole state back under the
names of the functional ledger, so that the two can be compared field by field.
"""

import bisect
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from eth_utils import keccak

from contracts.evm import Evm, Sent
from d2m_jax.ledger import (
    DEFAULT_RULES,
    INT_MAX,
    Kind,
    Layout,
    Phase,
    Reason,
    commitment_of,
    digest_of,
)

SOURCE = pathlib.Path(__file__).with_name("D2MMarket.vy")
UNIT = 10**9  # wei
FIRST_BLOCK = 1_000  # of the chain when the contract is created
# As in the contract: the length of a row of places or offers, of posts, of pledges.
MAX_SELLERS = MAX_BUYERS = 256
MAX_NODES, MAX_PLEDGES = 1_024, 4
DEFAULT_REPUTATION = 5_000  # as in the contract and in `new_ledger`
BIRTH = 7  # any number: the address of account 0 is just above it
ERROR = keccak(text="Error(string)")[:4]
REFUSED = keccak(text="Refused(uint256)")[:4]
SUPPLY_LIMIT = 100  # as in the contract: a refusal that the ledger, whose supply is fixed, lacks

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
    Kind.BAN: ("ban", ("who", "flag")),
    Kind.SET_ASK: ("set_ask", ("amount", "value")),
    Kind.BID: ("bid", ("job", "tags", "amount", "value", "model", "metric")),
    Kind.SEAL: ("seal", ("job", "tags", "amount", "seal")),
    Kind.REVEAL: ("reveal", ("job", "amount", "value", "model", "metric", "salt")),
    Kind.CLOSE_AUCTION: ("close_auction", ("job",)),
    Kind.SETTLE_ROUND: ("settle_round", ("job", "nodes")),
    Kind.RATE_SELLERS: ("rate_sellers", ("job", "sellers")),
    Kind.SLASH_SELLER: ("slash_seller", ("job", "who")),
    Kind.REPORT_METRIC: ("report_metric", ("job", "amount", "value", "sellers")),
    Kind.OPEN_DISPUTE: ("open_dispute", ("job", "who", "value")),
    Kind.RESOLVE_DISPUTE: ("resolve_dispute", ("job", "amount", "nodes")),
    Kind.SETTLE: ("settle", ("job",)),
    Kind.TIME_OUT: ("time_out", ("job",)),
    Kind.RESET_JOB: ("reset_job", ("job",)),
    Kind.TAKE: ("take", ("job",)),
    Kind.OPEN_METRIC: ("open_metric", ("job", "content", "salt")),
}

# The lanes of the packed words, lowest first, under the names of the functional ledger.
ACCOUNT = ("balances", "stakes", "exits", "exit_blocks", "standing")
LISTING = ("tags", "sizes", "reputation_bps", "asks", "max_taus")
PLACE = ("locked", "weights", "standing")
OFFER = ("bids", "deposits", "taus")
POST = ("taken", "held", "earned", "missed")
DIGESTS = ("seals", "models", "metrics")
# Of what is hashed by keccak256 here and by a mix of 32 bits there, only whether it is there.
HASHED = ("jobs.seals", "jobs.metrics", "jobs.metric")
JOB = (
    *("phase", "since", "tags", "buyer", "tau_bps", "metric_bps", "base_bps", "round"),
    *("price", "seller_pool", "compute_pool", "fee_pool", "bond", "rated", "opened", "pledge"),
    *("disputer", "accused", "disputed_round", "compensation"),
    *("compute_paid", "seller_paid", "fee_paid", "refunded"),
)
FROM_ONE = ("buyer", "disputer", "accused", "disputed_round")  # 0 is nobody, or none


class Artifact(NamedTuple):
    """What the compiler made of the contract."""

    code: bytes  # that creates it, without arguments
    selectors: dict[str, bytes]  # by name
    slots: dict[str, int]  # first storage slot of each variable
    immutables: int  # bytes of them behind the running code, the rules first
    lines: dict[int, int]  # source line, by position in the running code
    refusals: dict[int, int]  # the same of each `assert`, in the code that creates the contract


def compile_market(source: str | None = None) -> Artifact:
    """Compiles the contract, or a changed text of it."""
    import vyper  # here, so that a worker that is handed an artifact need not load a compiler

    formats = ["bytecode", "method_identifiers", "layout", "source_map", "source_map_runtime"]
    made = vyper.compile_code(source or SOURCE.read_text(), output_formats=formats)
    selectors = {
        signature.split("(")[0]: bytes.fromhex(selector[2:].rjust(8, "0"))
        for signature, selector in made["method_identifiers"].items()
    }
    slots = {name: at["slot"] for name, at in made["layout"]["storage_layout"].items()}
    fixed = made["layout"]["code_layout"].values()
    immutables = max((at["offset"] + at["length"] for at in fixed), default=0)
    return Artifact(
        bytes.fromhex(made["bytecode"][2:]),
        selectors,
        slots,
        immutables,
        _lines(made["source_map_runtime"]),
        _refusals(made["source_map"]),
    )


def _lines(source_map: dict[str, Any]) -> dict[int, int]:
    return {pc: where[0] for pc, where in source_map["pc_pos_map"].items()}


def line_of(artifact: Artifact, position: int) -> int:
    """Source line of a position in the running code, or of the last one before it with a line.

    Of `Sent.back` of a refused message: the check that refused it.
    """
    known = sorted(artifact.lines)
    return artifact.lines[known[bisect.bisect(known, position) - 1]]


def _refusals(source_map: dict[str, Any]) -> dict[int, int]:
    """Where the code reverts with a text: position -> line of the `assert`.

    The compiler gives no line for the revert itself; that of the last position before it is the
    condition.
    """
    lines = _lines(source_map)
    known = sorted(lines)
    return {
        pc: lines[known[bisect.bisect(known, pc) - 1]]
        for pc, error in source_map["error_map"].items()
        if error == "user revert with reason"
    }


def encode(*values: int | Sequence[int]) -> bytes:
    """Arguments as the ABI wants them: a word per integer, lists behind the rest.

    Addresses, flags and 32-byte strings are integers too; negative ones in two's complement.
    """
    head, tail = [], b""
    for value in values:
        if isinstance(value, int):
            head.append(value)
        else:
            head.append(32 * len(values) + len(tail))
            tail += _words(len(value), *value)
    return _words(*head) + tail


def terms(rules: Mapping[str, int]) -> bytes:
    """The rules as the constructor wants them."""
    return _words(*(rules[name] for name in DEFAULT_RULES))


# What is hashed is said in fields that the ledger does not read. An action that the contract cannot
# know the words of, or that lies about them, hands on a number that nobody can open.
_seal, _metric = jax.jit(commitment_of), jax.jit(digest_of)


def seal_of(action: Mapping[str, Any]) -> int:
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
    words = word_of(model), metric_of(digest, metric), word_of(salt)
    return _hash(job, who, amount, tau, *words)


def metric_of(digest: int, words: Sequence[int]) -> int:
    """The contract's digest of a metric for that of the ledger; words = (content, salt, ..)."""
    content, salt = map(int, words[:2])
    if int(digest) != int(_metric(content, salt)):
        return word_of(int(digest))
    return _hash(word_of(content), word_of(salt))


def word_of(number: int) -> int:
    """32 bytes for an int32, which is their lowest lane; 0 stays 0.

    The others are as random as those of a digest, since calldata is paid by the byte.
    """
    lane = (number % 2**32).to_bytes(4, "big")
    return int.from_bytes(keccak(lane)[:28] + lane, "big") if any(lane) else 0


def _hash(*values: int) -> int:
    return int.from_bytes(keccak(encode(*values)), "big")


def _words(*values: int) -> bytes:
    return b"".join((int(value) % 2**256).to_bytes(32, "big") for value in values)


def address_of(account: int) -> bytes:
    """The address that holds an account; accounts out of range belong to strangers."""
    return (2**80 + BIRTH + account).to_bytes(20, "big")


class Market:
    """A deployed contract with all accounts admitted and funded.

    Args:
        artifact: the compiled contract.
        layout: how many of each role.
        rules: numbers, by the names of `DEFAULT_RULES`.
        funds: units of each account.
    """

    def __init__(
        self,
        artifact: Artifact,
        layout: Layout,
        rules: Mapping[str, int],
        funds: Sequence[int],
    ):
        self.artifact, self.layout = artifact, layout
        self.evm = Evm()
        self.evm.block = FIRST_BLOCK
        self.arbiter = address_of(layout.treasury)
        self.address = b"D2M".rjust(20, b"\0")
        self.last: Sent | None = None  # the latest transaction of `act`
        start = encode(*layout, UNIT, int.from_bytes(self.arbiter, "big")) + terms(rules)
        self.birth = self.evm.create(self.arbiter, self.address, artifact.code + start)
        self._where = self._slots()
        if not self.birth.ok:
            raise ValueError(f"the contract refused to start: {reason_text(self.birth.output)}")
        for account in range(layout.treasury):
            self._must(self.arbiter, "admit", int.from_bytes(address_of(account), "big"), account)
        for account, units in enumerate(funds):
            self.evm.state.set_balance(address_of(account), int(units) * UNIT)
            if units:
                self._must(address_of(account), "pay_in", value=int(units) * UNIT)

    def start_over(self, rules: Mapping[str, int], funds: Sequence[int]) -> None:
        """As if created anew with other terms and funds, without the transactions that it takes.

        The code (rules are immutables, behind it) and the storage are written directly.
        """
        evm, at, new = self.evm.state, self.artifact, terms(rules)
        code = evm.get_code(self.address)
        body, data = code[: -at.immutables], code[-at.immutables :]
        evm.set_code(self.address, body + new + data[len(new) :])
        for slot in self._where:
            evm.set_storage(self.address, slot, 0)
        for account, units in enumerate(funds):
            evm.set_storage(self.address, at.slots["accounts"] + 1 + account, int(units))
        for seller in range(self.layout.num_sellers):
            first = DEFAULT_REPUTATION << 64
            evm.set_storage(self.address, at.slots["listings"] + seller, first)
        supply = sum(int(units) for units in funds)
        evm.set_storage(self.address, at.slots["supply"], supply)
        evm.set_balance(self.address, supply * UNIT)
        evm.lock_changes()
        self.evm.block = FIRST_BLOCK

    def _must(self, sender: bytes, name: str, *values: Any, value: int = 0) -> None:
        sent = self.call(sender, name, *values, value=value)
        if not sent.ok:
            raise ValueError(f"{name}{values}: {reason_text(sent.output)}")

    def call(self, sender: bytes, name: str, *values: Any, value: int = 0) -> Sent:
        """A transaction by function name; a name that the contract lacks calls nothing it knows."""
        selector = self.artifact.selectors.get(name, b"\xff\xff\xff\xff")
        return self.evm.call(sender, self.address, selector + encode(*values), value)

    def send(self, action: Mapping[str, Any]) -> Sent:
        """The transaction that an action (fields of `ledger.Action`, integers) stands for."""
        name, fields = CALLS.get(int(action["kind"]), ("", ()))
        size = {"nodes": self.layout.num_nodes, "sellers": self.layout.num_sellers}
        values: list[Any] = []
        for field in fields:
            if field in size:
                values.append([int(x) for x in action["payload"][: size[field]]])
            elif field == "who":
                values.append(int.from_bytes(address_of(int(action["target"])), "big"))
            elif field == "flag":
                values.append(int(action["amount"] != 0))
            elif field == "seal":
                values.append(seal_of(action))
            elif field == "data":
                values.append(word_of(int(action["target"])))
            elif field == "metric":
                values.append(metric_of(action["extra"][1], action["payload"]))
            elif field in ("model", "salt"):
                at = 0 if field == "model" or name == "open_metric" else 2
                values.append(word_of(int(action["extra"][at])))
            elif field == "content":
                values.append(word_of(int(action["value"])))
            elif field in ("ask", "max_tau"):
                values.append(int(action["extra"][("ask", "max_tau").index(field)]))
            else:
                values.append(int(action[field]))
        return self.call(address_of(int(action["actor"])), name, *values)

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

    @property
    def block(self) -> int:
        """Blocks since the contract was created."""
        return self.evm.block - FIRST_BLOCK

    def _slots(self) -> list[int]:
        """Where the state lies, in the order in which `state` reads it."""
        at, layout = self.artifact.slots, self.layout
        sellers, jobs = range(layout.num_sellers), range(layout.num_jobs)
        bidders = [MAX_BUYERS * j + i for j in jobs for i in range(layout.num_buyers)]
        nodes = [MAX_NODES * j + i for j in jobs for i in range(layout.num_nodes)]
        return [
            *(at["accounts"] + 1 + i for i in range(layout.num_accounts)),
            *(at["listings"] + i for i in sellers),
            *(_in_map(at["commitment_of"], 1 + layout.num_buyers + i) for i in sellers),
            *(at["jobs"] + i for i in range(3 * layout.num_jobs)),
            *(at["places"] + MAX_SELLERS * j + i for j in jobs for i in sellers),
            *(at[name] + i for name in ("offers", *DIGESTS) for i in bidders),
            *(at["posts"] + i for i in nodes),
            *(at["pledges"] + i for i in range(MAX_PLEDGES * layout.num_jobs)),
            *(at["burned"], at["supply"]),
        ]

    def words(self) -> np.ndarray:
        """[W, 32] uint8: the storage of the contract, see `state` for its meaning."""
        read = self.evm.state.get_storage
        raw = b"".join(read(self.address, slot).to_bytes(32, "big") for slot in self._where)
        return np.frombuffer(raw, np.uint8).reshape(-1, 32)


def _in_map(slot: int, key: int) -> int:
    """Where Vyper keeps the entry of a HashMap: keccak(slot, key)."""
    return int.from_bytes(keccak(_words(slot, key)), "big")


def state(words: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    """Storage words as the arrays of the functional ledger, by name (`jobs.` for those of a job).

    Args:
        words: [..., W, 32] uint8, see `Market.words`.
        layout: the accounts.

    Returns:
        [...] plus the axes that the ledger's field has, int32; all but `block`; see `HASHED`.
    """
    lanes = words.reshape(*words.shape[:-1], 8, 4)[..., ::-1, :]
    lanes = np.ascontiguousarray(lanes).view(">i4")[..., 0].astype(np.int32)
    num_jobs, num_sellers, num_buyers = layout.num_jobs, layout.num_sellers, layout.num_buyers
    sizes = [layout.num_accounts, num_sellers, num_sellers, 3 * num_jobs, num_jobs * num_sellers]
    sizes += [num_jobs * num_buyers] * 4 + [num_jobs * layout.num_nodes, MAX_PLEDGES * num_jobs]
    accounts, listings, commitments, jobs, places, *bidders, posts, pledges, rest = np.split(
        lanes, np.cumsum(sizes), axis=-2
    )
    posts = posts.reshape(*posts.shape[:-2], num_jobs, layout.num_nodes, 8)
    jobs = jobs.reshape(*jobs.shape[:-2], num_jobs, 24)
    places = places.reshape(*places.shape[:-2], num_jobs, num_sellers, 8)
    offers, *digests = (x.reshape(*x.shape[:-2], num_jobs, num_buyers, 8) for x in bidders)
    out = {name: accounts[..., i] for i, name in enumerate(ACCOUNT)}
    out |= {name: listings[..., i] for i, name in enumerate(LISTING)}
    out |= {"commitments": commitments[..., 0]}
    out |= {f"jobs.{name}": jobs[..., i] - (name in FROM_ONE) for i, name in enumerate(JOB) if name}
    out |= {f"jobs.{name}": places[..., i] for i, name in enumerate(PLACE)}
    out |= {f"jobs.{name}": offers[..., i] for i, name in enumerate(OFFER)}
    out |= {f"jobs.{name}": posts[..., i] for i, name in enumerate(POST)}
    pledge, taken = out.pop("jobs.pledge"), out.pop("jobs.taken")
    out |= {"jobs.pledged": _bits(pledges, layout) * (pledge[..., None] - taken)}
    out |= {"jobs.released": out["jobs.phase"] == Phase.SETTLED}
    out |= {f"jobs.{name}": x[..., 0] for name, x in zip(DIGESTS, digests, strict=True)}
    out |= {"burned": rest[..., 0, 0], "supply": rest[..., 1, 0]}
    standing, in_job = out.pop("standing"), out.pop("jobs.standing")
    out |= {"registered": standing & 1, "banned": standing >> 1 & 1}
    out |= {"jobs.matched": in_job & 1, "jobs.excluded": in_job >> 1 & 1}
    out |= {f"jobs.{name}": _of_winner(out, f"jobs.{name}s") for name in ("model", "metric")}
    return out | {name: out[name] != 0 for name in HASHED}


def _bits(pledges: np.ndarray, layout: Layout) -> np.ndarray:
    """[..., J, C]: bit n of the words of a job, 256 a word, lowest lane first."""
    lanes = pledges.reshape(*pledges.shape[:-2], layout.num_jobs, 8 * MAX_PLEDGES)
    node = np.arange(layout.num_nodes)
    return lanes[..., node // 32] >> node % 32 & 1


def _of_winner(out: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """[..., J]: the digest of who won the auction, once it is closed: no storage of its own."""
    won = (out["jobs.phase"] > Phase.AUCTION) & (out["jobs.buyer"] >= 0)
    buyer = np.where(won, out["jobs.buyer"], 0)[..., None]
    return np.where(won, np.take_along_axis(out[name], buyer, axis=-1)[..., 0], 0)


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
