# pragma version 0.4.3
# pragma evm-version prague
"""
@title What D2MVotes reads of a market, set by hand
"""

units: public(HashMap[uint256, uint256[2]])
seeds: public(HashMap[uint256, bytes32])
stakes: HashMap[uint256, uint256[128]]  # eight to the word
NODES: immutable(uint256)
enrolled: uint256
node_of: public(HashMap[address, uint256])


@deploy
def __init__(num_nodes: uint256):
    NODES = num_nodes


@external
def enrol(who: address):
    self.enrolled += 1
    self.node_of[who] = self.enrolled


@external
def want(job: uint256, serial: uint256, unit: uint256, seed: bytes32):
    self.units[job] = [serial, unit]
    self.seeds[job] = seed


@external
def pledge(job: uint256, stakes: DynArray[uint256, 128]):
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
def electorate(job: uint256) -> DynArray[uint256, 1024]:
    found: DynArray[uint256, 1024] = []
    word: uint256 = 0
    for i: uint256 in range(NODES, bound=1024):
        if i % 8 == 0:
            word = self.stakes[job][i // 8]
        found.append((word >> 32 * (i % 8)) & (2**32 - 1))
    return found
