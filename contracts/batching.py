"""What it costs to prove on the chain what one of K rounds was, when one vote is on the root of K.

The votes accept a digest of anything. If it is the root of a Merkle tree over the contents of K
rounds, a content is told by opening its path. `PROVER` does no more than that: it is no part of the
market, and stands here to be weighed. Read first: `gas.py`.
"""

from collections.abc import Sequence

from eth_utils import keccak

from contracts.compiler import compile_text
from contracts.evm import Evm
from contracts.market import address_of, encode, number_of, words_of

PROVER = """# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague

MAX_CONTENT: constant(uint256) = 640

shown: public(HashMap[bytes32, uint256])  # by root: one bit per round that was proved


@external
def show(root: bytes32, index: uint256, proof: DynArray[bytes32, 8], content: Bytes[MAX_CONTENT]):
    node: bytes32 = keccak256(content)
    at: uint256 = index
    for sibling: bytes32 in proof:
        if at % 2 == 0:
            node = keccak256(concat(node, sibling))
        else:
            node = keccak256(concat(sibling, node))
        at //= 2
    assert node == root and at == 0, "BAD_VALUE"
    self.shown[root] |= 1 << index
"""


def levels(contents: Sequence[bytes]) -> list[list[bytes]]:
    """A Merkle tree over contents, leaves first; an odd one out is paired with itself."""
    rows = [[keccak(content) for content in contents]]
    while len(rows[-1]) > 1:
        row = rows[-1] + rows[-1][-1:] * (len(rows[-1]) % 2)
        rows.append([keccak(a + b) for a, b in zip(row[::2], row[1::2], strict=True)])
    return rows


def path(rows: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """The siblings of a leaf, from the bottom."""
    found = []
    for row in rows[:-1]:
        other = index ^ 1
        found.append(row[other] if other < len(row) else row[index])
        index //= 2
    return found


def proof_gas(contents: Sequence[bytes]) -> list[int]:
    """Gas of the transaction that proves each of the contents, in order.

    Raises:
        ValueError: a proof was refused.
    """
    evm, made, where = Evm(), compile_text(PROVER), b"PROVER".rjust(20, b"\0")
    if not evm.create(address_of(0), where, made.code).ok:
        raise ValueError("the prover refused to start")
    rows, spent = levels(contents), []
    (root,) = rows[-1]
    for index, content in enumerate(contents):
        proof = [number_of(node) for node in path(rows, index)]
        head = words_of(number_of(root), index, 128, 128 + 32 * (1 + len(proof)))
        tail = words_of(len(proof), *proof, len(content)) + content + bytes(-len(content) % 32)
        sent = evm.call(address_of(0), where, made.selectors["show"] + head + tail)
        if not sent.ok:
            raise ValueError(f"the proof of round {index} was refused")
        spent.append(sent.gas)
    return spent


def round_of(index: int, num_sellers: int) -> bytes:
    """The content of a round in which all sellers are accepted."""
    verdicts = int("01" * min(num_sellers, 128), 2)
    return encode(0, number_of(keccak(words_of(index))), verdicts)
