"""The storage of the market's contract under the names of the functional ledger.

Read first: `market.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from contracts.market import (
    FIRST_BLOCK,
    MARKET,
    Market,
    hash_papers,
    in_map,
)
from d2m_jax.ledger import Phase

# As in the contract: the length of a row of places or offers, of posts, of results.
MAX_SELLERS = MAX_BUYERS = 256
MAX_NODES, MAX_UNITS = 1_024, 2**16

Lanes = dict[str, tuple[int, int]]  # by name of the ledger: lowest bit and number of bits

ACCOUNT: Lanes = {
    **{"balances": (0, 64), "stakes": (64, 64), "exits": (128, 64), "exit_blocks": (192, 32)},
    **{"registered": (224, 1), "banned": (225, 1)},
}
LISTING: Lanes = {
    **{"tags": (0, 32), "sizes": (32, 32), "asks": (64, 64)},
    **{"reputation_bps": (128, 16), "max_taus": (144, 16)},
}
OFFER: Lanes = {"bids": (0, 64), "deposits": (64, 64), "taus": (128, 16)}
PLACE: Lanes = {"locked": (0, 64), "weights": (64, 32), "matched": (96, 1), "excluded": (97, 1)}
POST: Lanes = {"pledged": (0, 64), "held": (64, 64), "earned": (128, 64), "offered": (192, 64)}
JOB: Lanes = {
    **{"phase": (0, 8), "opened": (8, 1), "frozen": (9, 1), "spoilt": (10, 1)},
    **{"verified": (11, 1), "buyer": (16, 16), "tags": (32, 32), "since": (64, 32)},
    **{"round": (96, 32), "tau_bps": (128, 16), "metric_bps": (144, 16), "base_bps": (160, 16)},
    **{"disputer": (176, 16), "serial": (192, 32), "disputed_unit": (224, 32)},
}
PURSE: Lanes = {
    name: (64 * i, 64)
    for i, name in enumerate(
        (
            *("price", "seller_pool", "compute_pool", "fee_pool"),
            *("bond", "compensation", "compute_paid", "seller_paid"),
            *("fee_paid", "refunded", "forfeited"),
        )
    )
}
FROM_ONE = ("buyer", "disputer", "disputed_unit")  # 0 is nobody, or none
BLOCKS = ("since", "exit_blocks")
DIGESTS = ("seals", "models", "metrics")
# Of what is hashed by keccak256 here and by a mix of 32 bits there, only whether it is there.
HASHED = ("jobs.seals", "jobs.models", "jobs.metrics", "jobs.model", "jobs.metric")

Number = Callable[[bytes], int]  # of a digest


def part_of(word: int, lane: tuple[int, int]) -> int:
    """A lane of a word."""
    start, bits = lane
    return word >> start & (1 << bits) - 1


def state(market: Market, number: Number) -> dict[str, np.ndarray]:
    """Everything in the arrays of the functional ledger, but the block; see `HASHED`.

    Args:
        market: a deployed contract.
        number: the functional digest of 32 bytes.

    Returns:
        By name (`jobs.` for the fields of a job), int64.
    """
    layout, at = market.layout, market.artifact.slots

    def words(name: str, start: int, size: int) -> list[int]:
        read, first = market.evm.state.get_storage, at[name] + start
        return [read(MARKET, first + i) for i in range(size)]

    out = _columns(words("accounts", 1, layout.num_accounts), ACCOUNT)
    out |= _columns(words("listings", 0, layout.num_sellers), LISTING)
    seats = range(1 + layout.num_buyers, 1 + layout.num_buyers + layout.num_sellers)
    read = market.evm.state.get_storage
    known = [read(MARKET, in_map(at["commitment_of"], seat)) for seat in seats]
    out["commitments"] = [_low(word) for word in known]
    out |= {name: words(name, 0, 1)[0] for name in ("burned", "supply")}
    rows = [_row(market, words, job, number) for job in range(layout.num_jobs)]
    out |= {f"jobs.{name}": [row[name] for row in rows] for name in rows[0]}
    return comparable({name: np.asarray(value, np.int64) for name, value in out.items()})


def _row(market: Market, words: Callable[..., list[int]], job: int, number: Number) -> Any:
    """The fields of one slot; what is left of an earlier job there does not count."""
    layout = market.layout
    row: dict[str, Any] = lanes_of(market.job_word(job), JOB)
    verified, auctioned = row.pop("verified"), row["phase"] <= Phase.AUCTION
    money = sum(word << 256 * i for i, word in enumerate(words("purses", 3 * job, 3)))
    row |= lanes_of(0 if auctioned else money, PURSE)
    row |= _columns(words("places", MAX_SELLERS * job, layout.num_sellers), PLACE)
    row |= _columns(words("offers", MAX_BUYERS * job, layout.num_buyers), OFFER)
    is_fixed = row["frozen"] or not (is_sealed(market) or auctioned)
    posts = words("posts", MAX_NODES * job, layout.num_nodes)
    row |= _columns(posts if is_fixed else [0] * layout.num_nodes, POST)
    for name in DIGESTS:
        row[name] = [_low(x) for x in words(name, MAX_BUYERS * job, layout.num_buyers)]
    won = row["buyer"] >= 0 and row["phase"] > Phase.AUCTION
    for name in ("model", "metric"):
        row[name] = row[f"{name}s"][row["buyer"]] if won else 0
    row["released"] = row["phase"] == Phase.SETTLED
    found = market.ruling(words("cases", job, 1)[0])
    row["ruled"], row["ruling"] = found.block, found.digest
    row["stood"] = found.root != 0 and found.root == words("roots", job, 1)[0]
    row["proven"] = found.is_proven and not row["stood"]
    row["finder"] = -1 if row["stood"] else found.finder
    booked = [u for u in range(layout.num_units) if u < row["round"]]
    booked += [num_rounds(market)] * verified
    return row | _units(market, words, job, booked, number)


def _units(
    market: Market, words: Callable[..., list[int]], job: int, booked: list[int], number: Number
) -> dict[str, Any]:
    """Results and papers of the units that are booked; the others have none."""
    layout = market.layout
    results = [0] * layout.num_units
    papers = [[0] * layout.num_nodes for _ in results]
    for unit in booked:
        (result,) = words("results", MAX_UNITS * job + unit, 1)
        results[unit] = number(result.to_bytes(32, "big")) if result else 0
        kept = market.papers[job, unit]
        (digest,) = words("papers", MAX_UNITS * job + unit, 1)
        if hash_papers(kept) != digest.to_bytes(32, "big"):
            raise ValueError(f"the papers of unit {unit} of slot {job} are others")
        for node, paper in kept:
            papers[unit][node] = number(paper)
    return {"results": results, "papers": papers}


def _rule(market: Market, name: str) -> int:
    """A rule, read off the code."""
    artifact = market.artifact
    code = market.evm.state.get_code(MARKET)
    at = len(code) - artifact.immutables + artifact.fixed["R"][0]
    at += 32 * artifact.names_of("rules").index(name)
    return int.from_bytes(code[at : at + 32], "big")


def is_sealed(market: Market) -> bool:
    """Whether bids are sealed."""
    return _rule(market, "sealed") == 1


def num_rounds(market: Market) -> int:
    """R, rounds of a job, which is also the number of the verification."""
    return _rule(market, "num_rounds")


def lanes_of(word: int, lanes: Lanes) -> dict[str, int]:
    """The lanes of a word, as the ledger counts."""
    row = {name: part_of(word, lane) for name, lane in lanes.items()}
    for name in row:
        if name in FROM_ONE:
            row[name] -= 1
        if name in BLOCKS:
            row[name] = max(row[name] - FIRST_BLOCK, 0)
    return row


def _columns(words: list[int], lanes: Lanes) -> dict[str, Any]:
    rows = [lanes_of(word, lanes) for word in words]
    return {name: [row[name] for row in rows] for name in lanes}


def _low(word: int) -> int:
    """The lowest 32 bits as a signed number."""
    return (word & 2**32 - 1) - (word >> 31 & 1) * 2**32


def comparable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ledger by name, as `state` gives them."""
    return {**fields, **{name: np.asarray(fields[name]) != 0 for name in HASHED}}
