"""A chain whose court says what it is told: cases close at once, for traces of the money."""

import functools
import pathlib

from eth_utils import keccak

from contracts import reading
from contracts.chain import EvmChain
from contracts.compiler import compile_text
from contracts.market import (
    COURT,
    address_of,
    encode,
    number_of,
    reason_text,
    word_of,
)
from contracts.work import claim_of
from d2m_jax import ledger as L

SOURCE = pathlib.Path(__file__).with_name("PuppetCourt.vy")


@functools.cache
def puppet_court():
    """The compiled stand-in for the court."""
    return compile_text(SOURCE.read_text())


class TrialChain(EvmChain):
    """Market and votes beside a puppet of the court, which `CLOSE_CASE` tells what it finds.

    Args:
        codes, layout, rules, terms, funds: as of `EvmChain`.
    """

    def __init__(self, codes, layout, rules, terms, funds, puppet):
        super().__init__(codes, layout, rules, terms, funds, court=puppet.code)
        self.puppet, self.rulings = puppet, {}

    def begin(self, rules, terms, funds):
        super().begin(rules, terms, funds)
        self.evm.state.delete_storage(COURT)
        self.rulings = {}

    def act(self, action):
        """As `ledger.apply`; that the court has closed a case is told to the puppet."""
        if action["kind"] != L.Kind.CLOSE_CASE:
            return super().act(action)
        self.last = None
        if not 0 <= action["actor"] < self.layout.num_accounts:
            return L.Reason.UNKNOWN_PARTY
        if not 0 <= action["job"] < self.layout.num_jobs:
            return L.Reason.UNKNOWN_JOB
        row = reading.lanes_of(self.job_word(action["job"]), reading.JOB)
        if row["phase"] != L.Phase.DISPUTED:
            is_over = row["phase"] >= L.Phase.SETTLED
            return L.Reason.ALREADY_DONE if is_over else L.Reason.WRONG_PHASE
        return self.rule(action["job"], row["disputed_unit"], action)

    def rule(self, job, unit, action):
        """The puppet closes the case of a job: the claim of a content has won, or none (0).

        Or the root that stood by right has, and there is no content that goes with it.
        """
        number, stood, proven = int(action["value"]), *(int(x) != 0 for x in action["extra"][:2])
        if not self.in_court:
            return L.Reason.WRONG_FORMAT
        case = self.case_of(job)
        known = self.votes.contents.get(number)
        verifies = unit == reading.num_rounds(self)
        root = word_of(number)
        if known:
            root = number_of(claim_of(known, verifies).tree.root)
            self.votes.numbers[keccak(self.votes.encode(known, verifies))] = number
        if stood:
            root = self.evm.state.get_storage(self.address, self.artifact.slots["roots"] + job)
        owner = number_of(address_of(int(action["target"])))
        said = case, root, int(stood), owner, int(proven)
        data = self.puppet.selectors["close_with"] + encode(*said)
        sent = self.evm.call(address_of(0), COURT, data)
        if not sent.ok:
            return L.Reason[reason_text(sent.output)]
        self.rulings[case] = self.block, number
        return L.Reason.OK

    def case_of(self, job):
        """The name of the latest case of a slot."""
        return int(self.evm.state.get_storage(self.address, self.artifact.slots["cases"] + job))

    def ruling(self, case):
        """As the contract asks for it; which number is meant only the driver knows."""
        block, number = self.rulings.get(case, (-1, 0))
        found = self.read_ruling(self.puppet.selectors["ruling"], case, {})
        assert found.block == block
        return found._replace(digest=number)
