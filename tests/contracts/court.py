"""The court's contract for tests: compiled once, with a pool that says what it is told."""

import functools

from contracts.compiler import compile_text
from contracts.court import CourtContract, compile_court, numbers
from contracts.evm import Evm
from contracts.market import encode

POOL = """# pragma version 0.4.3
accepted: public(HashMap[bytes32, bytes32])

@external
def answer(question: bytes32, checkpoint: bytes32):
    self.accepted[question] = checkpoint
"""
POOL_ADDRESS = b"POOL".rjust(20, b"\0")


@functools.cache
def court_artifact():
    return compile_court()


@functools.cache
def pool_artifact():
    return compile_text(POOL)


def court_with_pool(terms, answers, artifact=None):
    """A fresh court whose pool answers these questions."""
    evm, made = Evm(), pool_artifact()
    assert evm.create(b"\1" * 20, POOL_ADDRESS, made.code).ok
    for asked, answer in answers.items():
        data = made.selectors["answer"] + encode(*numbers(asked, answer))
        assert evm.call(b"\1" * 20, POOL_ADDRESS, data).ok
    where = int.from_bytes(POOL_ADDRESS, "big")
    return CourtContract(artifact or court_artifact(), terms, evm, where)
