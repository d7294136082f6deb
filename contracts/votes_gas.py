"""What a vote costs on the EVM: units are played and every transaction weighed.

Read first: `votes.py`; the table that comes of it is in `d2m_jax/ledger/votes_gas.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from contracts.compiler import Artifact
from contracts.market import address_of
from contracts.votes import JOB_SEED, VotesChain, encode_content, hashed, pack, word_of
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.tables import vote_tables
from d2m_jax.ledger.votes_state import make_terms

STAKE = 2_000
SELLERS = 10


class Vote(NamedTuple):
    """One transaction of a vote."""

    action: str
    unit: int  # 0 is the first that the slot ever holds
    num_nodes: int
    seats: int  # of the set
    gas: int


def measure_units(
    artifacts: tuple[Artifact, Artifact],
    num_nodes: int,
    *,
    seats: int = 5,
    num_units: int = 3,
    stop_rule: str = "lead",
    by_stake: bool = False,
    independent: bool = False,
) -> list[Vote]:
    """Plays units of one set each, in which all agree, and weighs every transaction.

    From the second unit on storage has been used before. Which nodes are drawn differs, so that a
    node may be new to the slot all the same: its rows are called "(new)".

    Args:
        artifacts: the contract, and the stand-in for the market.
        num_nodes: C.
        seats: of the set; with independent sets that many are expected.
        num_units: units in sequence.
        stop_rule, by_stake, independent: as in `cone.vote_tables`.
    """
    params = ConeParams(size=seats, q=seats / num_nodes, f_max=0.3, beta=0.4)
    made = vote_tables(
        num_nodes,
        params,
        schedule="independent" if independent else "fixed",
        stop_rule=stop_rule,
        sortition="stake" if by_stake else "uniform",
        max_attempts=2,
    )
    terms = make_terms(made, num_rounds=num_units, commit_window=2)
    size = {"num_jobs": 1, "num_nodes": num_nodes, "num_sellers": SELLERS}
    chain = VotesChain(*artifacts, terms, **size)
    chain.tell_market("pledge", 0, pack([STAKE] * num_nodes, 64))
    rows: list[Vote] = []
    seen: set[int] = set()
    content = encode_content([0, 0, 7, 0, 0, *[1] * SELLERS, *[0] * SELLERS], False)
    digest = hashed(*(content[i : i + 32] for i in range(0, len(content), 32)))

    def do(action: str, unit: int, node: int, name: str, *values: int | bytes) -> None:
        sent = chain.call(address_of(node), name, 0, *values)
        assert sent.ok, (action, sent.output)
        rows.append(Vote(action, unit, num_nodes, seats, sent.gas))

    for unit in range(num_units):
        chain.tell_market("want", 0, unit + 1, unit, int.from_bytes(JOB_SEED, "big"))
        do("open_unit", unit, -5, "open_unit")
        do("draw", unit, -5, "draw")
        nodes = [node for node, lots in enumerate(chain.state()["seats"][0]) if lots]
        for node in nodes:
            paper = hashed(chain.seed(0), 1, node, digest, word_of(2**200 + node))
            new = " (new)" if node not in seen else ""
            do("commit_vote" + new, unit, node, "commit_vote", paper)
            seen.add(node)
        chain.evm.block += 2
        for i, node in enumerate(nodes):
            first = "" if i else " (first)"
            do("reveal_vote" + first, unit, node, "reveal_vote", digest, word_of(2**200 + node))
        do("tally", unit, -5, "tally")
        do("open_content", unit, -5, "open_content", content)
    return rows


def steady(rows: Sequence[Vote], action: str) -> list[int]:
    """Gas of an action from the third unit on."""
    return [row.gas for row in rows if row.action == action and row.unit >= 2]
