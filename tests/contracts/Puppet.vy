# pragma version 0.4.3
# pragma evm-version prague
"""
@title What D2MJobs reads of the votes, said by anybody: a decision at once, for tests of the money
"""

struct Decision:
    serial: uint256
    stage: uint256
    since: uint256
    accepted: bytes32
    is_open: bool
    papers: bytes32
    matched: uint256[4]
    wrong: uint256[4]
    silent: uint256[4]


decisions: HashMap[uint256, Decision]
contents: HashMap[uint256, Bytes[640]]


@external
def say(job: uint256, said: Decision, content: Bytes[640]):
    self.decisions[job] = said
    self.contents[job] = content


@external
@view
def decision(job: uint256) -> Decision:
    return self.decisions[job]


@external
@view
def content_of(job: uint256) -> Bytes[640]:
    return self.contents[job]
