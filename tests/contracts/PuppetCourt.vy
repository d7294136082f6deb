# pragma version 0.4.3
# pragma evm-version prague
"""
@title What D2MJobs asks of the court, said by anybody: a case is closed at once, for tests of the money
"""

struct Case:
    opened: bool
    closed: uint256
    root: bytes32
    owner: address
    proven: bool
    depth: uint256
    size: uint256


struct Ruling:
    closed: uint256
    root: bytes32
    owner: address
    proven: bool
    depth: uint256
    size: uint256


cases: HashMap[bytes32, Case]


@external
def open_for(
    start: bytes32, program: bytes32, depth: uint256, size: uint256, label: bytes32, root: bytes32
) -> bytes32:
    name: bytes32 = keccak256(
        abi_encode(start, program, depth, size, label, root, msg.sender)
    )
    assert not self.cases[name].opened, "ALREADY_DONE"
    self.cases[name].opened = True
    self.cases[name].depth = depth
    self.cases[name].size = size
    return name


@external
def close_with(name: bytes32, root: bytes32, deeper: uint256, owner: address, proven: bool):
    assert self.cases[name].opened, "UNKNOWN_JOB"
    assert self.cases[name].closed == 0, "ALREADY_DONE"
    self.cases[name].closed = block.number
    self.cases[name].root = root
    self.cases[name].owner = owner
    self.cases[name].proven = proven
    self.cases[name].depth += deeper  # then nothing can be shown of it


@external
@view
def ruling(name: bytes32) -> Ruling:
    case: Case = self.cases[name]
    return Ruling(
        closed=case.closed,
        root=case.root,
        owner=case.owner,
        proven=case.proven,
        depth=case.depth,
        size=case.size,
    )
