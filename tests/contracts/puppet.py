"""A market whose votes say what they are told: decisions at once, for tests of the money."""

import functools
import pathlib

import numpy as np

from contracts import market as m
from contracts import reading
from contracts.compiler import compile_text
from contracts.market import VOTES, Market, compile_market, number_of, words_of
from contracts.votes import encode_content
from d2m_jax import ledger as L
from d2m_jax.ledger.votes_state import Stage

SOURCE = pathlib.Path(__file__).with_name("Puppet.vy")


@functools.cache
def market_code():
    """The compiled market."""
    return compile_market()


@functools.cache
def puppet_code():
    """The compiled stand-in for the votes."""
    return compile_text(SOURCE.read_text())


def digest_word(number):
    """32 bytes for a digest of the functional ledger."""
    return m.word_of(int(number)).to_bytes(32, "big")


def number_in(digest):
    """The other way round."""
    return int.from_bytes(digest[-4:], "big", signed=True)


class PuppetMarket(Market):
    """A deployed market with a puppet at the address of its votes.

    Args:
        layout, rules, funds, court: as of `Market`.
        code: the compiled market, by default the sound one.
    """

    def __init__(self, layout, rules, funds, code=None, court=b""):
        super().__init__(code or market_code(), layout, rules, funds, court)
        self.deploy(VOTES, puppet_code().code)
        self.metrics = {}

    def start_over(self, rules, funds):
        super().start_over(rules, funds)
        self.evm.state.delete_storage(VOTES)  # it has said nothing yet

    def send(self, action):
        kind = int(action["kind"])
        if kind in (L.Kind.BID, L.Kind.REVEAL):
            digest = int(action["extra"][1])
            self.metrics[digest] = m.metric_of(digest, action["payload"])
        return super().send(action)

    def say(self, job, decision):
        """The puppet says a `ledger.Decision`, in the order of the nodes."""
        d = {name: np.asarray(x).tolist() for name, x in vars(decision).items()}
        papers = [(n, self.digest_word(x)) for n, x in enumerate(d["papers"]) if x]
        sets = {"matched": 0, "wrong": 0, "silent": 0}
        for n, (drawn, paper) in enumerate(zip(d["drawn"], d["papers"])):
            if drawn and (not paper or d["accepted"]):
                agrees = "matched" if paper == d["accepted"] else "wrong"
                sets[agrees if paper else "silent"] |= 1 << n
        over = Stage.DECIDED if d["accepted"] else Stage.FAILED
        content = self.content_for(job, d["content"]) if d["is_open"] else b""
        said = [
            *(d["serial"], over if d["is_over"] else Stage.VOTING, d["since"] + m.FIRST_BLOCK),
            *(number_of(self.digest_word(d["accepted"])), int(d["is_open"])),
            number_of(m.hash_papers(papers)),
            *(word for x in sets.values() for word in (x, 0, 0, 0)),
        ]
        head = words_of(job, *said, 32 * (2 + len(said)))
        tail = words_of(len(content)) + content + bytes(-len(content) % 32)
        data = puppet_code().selectors["say"] + head + tail
        assert self.evm.call(self.treasury, VOTES, data).ok
        self.told = papers

    def content_for(self, job, content):
        """The bytes of a content for the unit that a slot waits for."""
        row = reading.lanes_of(self.job_word(job), reading.JOB)
        last = reading.num_rounds(self)
        verifies = row["phase"] == L.Phase.VERIFY or row["disputed_unit"] == last
        return encode_content([int(x) for x in content], verifies, self.metrics)

    def book(self, kind, actor, job=0):
        """Books what the puppet has said; the receipt."""
        row = reading.lanes_of(self.job_word(job), reading.JOB)
        unit = row["disputed_unit"]
        if unit < 0:
            trains = row["phase"] < L.Phase.VERIFY
            unit = row["round"] if trains else reading.num_rounds(self)
        reason = self.act({"kind": kind, "actor": actor, "job": job, "extra": [0] * 3})
        slot = self.artifact.slots["papers"] + reading.MAX_UNITS * job + unit
        kept = self.evm.state.get_storage(m.MARKET, slot).to_bytes(32, "big")
        if reason == L.Reason.OK and kept == m.hash_papers(self.told):
            self.papers[job, unit] = self.told
        return reason

    def digest_word(self, number):
        """32 bytes for a digest of the functional ledger."""
        return digest_word(number)

    def number_in(self, digest):
        """The other way round."""
        return number_in(digest)

    def state(self):
        """Everything by name."""
        return reading.state(self, self.number_in)
