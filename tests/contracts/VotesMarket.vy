# pragma version 0.4.3
# pragma evm-version prague
"""
@title What D2MVotes reads of a market, set by hand
"""

units: public(HashMap[uint256, uint256[2]])
seeds: public(HashMap[uint256, bytes32])
stakes: HashMap[uint256, uint256[256]]  # four to the word
SIZES: immutable(uint256[6])
VOTES: immutable(address)
enrolled: uint256
node_of: public(HashMap[address, uint256])


@deploy
def __init__(votes: address, sizes: uint256[6]):
    VOTES = votes
    SIZES = sizes


@external
def enrol(who: address):
    self.enrolled += 1
    self.node_of[who] = self.enrolled


@external
def want(job: uint256, serial: uint256, unit: uint256, seed: bytes32):
    self.units[job] = [serial, unit]
    self.seeds[job] = seed


@external
def pledge(job: uint256, stakes: DynArray[uint256, 256]):
    i: uint256 = 0
    for word: uint256 in stakes:
        self.stakes[job][i] = word
        i += 1


@external
@view
def wanted(job: uint256) -> (uint256, uint256, bytes32):
    return self.units[job][0], self.units[job][1], self.seeds[job]


@external
@view
def for_votes() -> (address, uint256, uint256, uint256, uint256, uint256, uint256):
    return VOTES, SIZES[0], SIZES[1], SIZES[2], SIZES[3], SIZES[4], SIZES[5]


@external
@view
def electorate(job: uint256) -> DynArray[uint256, 256]:
    found: DynArray[uint256, 256] = []
    for i: uint256 in range((SIZES[1] + 3) // 4, bound=256):
        found.append(self.stakes[job][i])
    return found
