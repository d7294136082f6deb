# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
# pragma nonreentrancy on
# @license MIT
"""
@title D2M court
@notice Disputes by bisection (package d2m_jax.court) as a contract: claims are Merkle roots of the
        checkpoints of a unit of work, two that differ are halved until one step is left, and a step
        that is exact in whole numbers is computed here. Every claim has a duel of its own with the
        one that stands by right; those that have beaten it meet in a tournament. The same checks
        in the same order as the pure game: a refusal reverts with the name of its receipt.
@dev Nobody has a role. A claim's nodes have no other preimage, so anybody may move for any claim,
     and nobody can move wrongly. Amounts are wei; ether leaves at `pay_out`, to the caller only.
     A word of numbers holds eight "lanes" of 32 bits, the first one lowest; the last one of a case
     has three bits on top: two for what has become of the claim that stands by right, and below
     them one for whether the case is contested.
"""

BPS: constant(uint256) = 10_000
LANE: constant(uint256) = 2**32 - 1
MAX_DEPTH: constant(uint256) = 32  # of a claim's tree
MAX_MEMORY: constant(uint256) = 20  # of the memory's tree
MAX_CLAIMS: constant(uint256) = 2**29 - 1  # of all cases
NUM_FEES: constant(uint256) = 2 * (MAX_DEPTH + 2)  # messages that a bond must pay
MAX_READS: constant(uint256) = 64
MAX_FACTOR: constant(int256) = 2**40
ONE: constant(int256) = 2**16  # of the fixed point
LEAST: constant(int256) = -(2**31)
MOST: constant(int256) = 2**31 - 1

# Stages of a duel and its sides.
PLAY: constant(uint256) = 1
JUDGE: constant(uint256) = 2
OVER: constant(uint256) = 3

# What has become of the claim that stands by right: beaten by a clock, or by a step.
SILENT: constant(uint256) = 1
WRONG: constant(uint256) = 2

# What a step does, numbered as `Op`.
HALT: constant(uint256) = 0
DRAW: constant(uint256) = 1
SUM: constant(uint256) = 2
TRIMMED_MEAN: constant(uint256) = 3
AXPY: constant(uint256) = 4
COUNT: constant(uint256) = 5
POOL: constant(uint256) = 6


struct Terms:
    bond: uint256
    fee: uint256
    prize_bps: uint256
    window: uint256
    budget: uint256
    judging: uint256


struct Case:
    start: bytes32
    program: bytes32
    depth: uint256
    memory: uint256
    since: uint256  # block of the first claim, 0: none
    running: uint256
    waiting: uint256
    winner: uint256
    closed: uint256  # block, 0: it is open
    standing: uint256  # number of the claim that stands by right, 0: none does
    fallen: uint256  # what has become of it, 0: it stands
    contested: uint256  # 1: two claims are out and nobody could judge between them


struct Claim:
    case: bytes32
    left: bytes32  # of the claim that stands by right, which has no owner: the root
    right: bytes32
    result: bytes32
    purse: uint256  # owner's address, and above it what is left of the bond


struct Duel:
    mine: bytes32
    left: bytes32
    right: bytes32
    a: uint256
    b: uint256
    clock_a: uint256
    clock_b: uint256
    index: uint256
    since: uint256
    height: uint256
    state: uint256  # turn (0: A, 1: B) plus twice the stage


struct Ruling:
    closed: uint256  # block, 0: not yet
    root: bytes32  # that has won; nothing: no claim was left, or the case is open
    owner: address  # of the claim that has won
    proven: bool  # a step was judged by which what stood by right is wrong
    depth: uint256  # of a claim's tree
    size: uint256  # depth of the memory's tree


struct Step:
    op: uint256
    into: uint256
    start: uint256
    stride: uint256
    size: uint256
    start2: uint256
    stride2: uint256
    size2: uint256
    a: int256
    b: int256
    seed: bytes32


struct Kept:  # a case in storage
    start: bytes32
    program: bytes32
    lanes: uint256


struct KeptDuel:
    mine: bytes32
    left: bytes32
    right: bytes32
    lanes: uint256


event Opened:
    case: indexed(bytes32)

event Claimed:
    case: indexed(bytes32)
    claim: indexed(uint256)
    owner: indexed(address)
    result: bytes32

event Met:
    case: indexed(bytes32)
    duel: indexed(uint256)
    a: uint256
    b: uint256

event Played:
    duel: indexed(uint256)
    left: bytes32
    right: bytes32
    low: bytes32
    high: bytes32

event Ended:
    duel: indexed(uint256)
    winner: uint256

event Closed:
    case: indexed(bytes32)
    winner: uint256


T: public(immutable(Terms))

burned: public(uint256)
claims_made: public(uint256)
duels_met: public(uint256)
balances: public(HashMap[address, uint256])
committed: public(HashMap[bytes32, uint256])  # digest -> block
stands: public(HashMap[bytes32, bool])  # by SHA-256 of case and root
cases: HashMap[bytes32, Kept]
claims: HashMap[uint256, Claim]
duels: HashMap[uint256, KeptDuel]


@deploy
def __init__(terms: Terms):
    """
    @notice Fixes the terms for good: they are part of the running code, and so of its hash.
    @param terms A bond must pay all messages of two duels; a claim takes two blocks.
    """
    assert terms.bond < 2**96 and terms.prize_bps <= BPS, "BAD_VALUE"
    assert terms.fee >= 1 and terms.bond // NUM_FEES >= terms.fee, "BAD_VALUE"
    assert terms.window >= 2 and terms.judging >= 1, "BAD_VALUE"
    assert max(max(terms.window, terms.budget), terms.judging) < 2**31, "BAD_VALUE"
    T = terms


@external
def open_case(start: bytes32, program: bytes32, depth: uint256, size: uint256, label: bytes32):
    """
    @notice Opens the case of a unit of work. Its name is the hash of all that is fixed about it.
    @param start Checkpoint before the unit.
    @param program Root of the tree of its steps.
    @param depth Of a claim's tree, of 2**depth checkpoints; a side has a block for each answer.
    @param size Depth of the memory's tree.
    @param label Any word that tells units apart.
    """
    name: bytes32 = sha256(
        concat(start, program, convert(depth, bytes32), convert(size, bytes32), label)
    )
    assert 1 <= depth and depth <= min(MAX_DEPTH, 2 * T.budget), "BAD_VALUE"
    assert 1 <= size and size <= MAX_MEMORY, "BAD_VALUE"
    assert self.cases[name].lanes == 0, "ALREADY_DONE"
    self.cases[name] = Kept(start=start, program=program, lanes=depth | (size << 32))
    log Opened(case=name)


@external
def open_for(
    start: bytes32,
    program: bytes32,
    depth: uint256,
    size: uint256,
    label: bytes32,
    root: bytes32,
) -> bytes32:
    """
    @notice Opens a case in which a claim of this root stands by right, without owner and bond: what
            a vote has accepted. Its window runs from now. Anybody may, each in its own name, which
            is longer than that of `open_case`: nobody opens the case of a market before it.
    @return The name of the case.
    """
    name: bytes32 = sha256(
        concat(
            start,
            program,
            convert(depth, bytes32),
            convert(size, bytes32),
            label,
            root,
            convert(convert(msg.sender, uint256), bytes32),
        )
    )
    assert 1 <= depth and depth <= min(MAX_DEPTH, 2 * T.budget), "BAD_VALUE"
    assert 1 <= size and size <= MAX_MEMORY and root != empty(bytes32), "BAD_VALUE"
    assert self.cases[name].lanes == 0, "ALREADY_DONE"
    number: uint256 = self._next_number()
    self.claims_made = number
    claim: Claim = empty(Claim)
    claim.case = name
    claim.left = root
    self.claims[number] = claim
    self.stands[sha256(concat(name, root))] = True
    self.cases[name] = Kept(start=start, program=program, lanes=depth | (size << 32))
    case: Case = self._case(name)
    case.since = block.number
    case.standing = number
    self._put_case(name, case)
    log Opened(case=name)
    return name


@external
def commit(digest: bytes32):
    """
    @notice Announces a claim, SHA-256 of case, root, owner and salt, so that nobody copies it first.
    """
    assert self.committed[digest] == 0, "ALREADY_DONE"
    self.committed[digest] = block.number


@external
@payable
def claim(
    name: bytes32,
    left: bytes32,
    right: bytes32,
    result: bytes32,
    salt: bytes32,
    first: DynArray[bytes32, MAX_DEPTH],
    last: DynArray[bytes32, MAX_DEPTH],
):
    """
    @notice Makes a claim with its bond; it meets the claim that stands by right. Where none does it
            meets the one that waits, or waits.
    @param left Node below the root.
    @param right The other one.
    @param result The last leaf.
    @param first Siblings of the first leaf, which is the start, from the bottom.
    @param last Siblings of the last leaf.
    """
    case: Case = self._case(name)
    assert case.closed == 0, "WRONG_PHASE"
    assert case.since == 0 or block.number - case.since <= T.window, "TOO_LATE"
    number: uint256 = self._next_number()
    root: bytes32 = sha256(concat(left, right))
    assert len(first) == case.depth and len(last) == case.depth, "BAD_VALUE"
    assert self._fold(case.start, 0, first) == root, "BAD_VALUE"
    assert self._fold(result, (1 << case.depth) - 1, last) == root, "BAD_VALUE"
    key: bytes32 = sha256(concat(name, root))
    assert not self.stands[key], "ALREADY_DONE"
    owner: uint256 = convert(msg.sender, uint256)
    digest: bytes32 = sha256(concat(name, root, convert(owner, bytes32), salt))
    since: uint256 = self.committed[digest]
    assert since != 0 and since < block.number, "TOO_EARLY"
    assert msg.value == T.bond, "NOT_ENOUGH_MONEY"
    self.stands[key] = True
    self.claims_made = number
    self.claims[number] = Claim(
        case=name, left=left, right=right, result=result, purse=owner | (msg.value << 160)
    )
    if case.since == 0:
        case.since = block.number
    log Claimed(case=name, claim=number, owner=msg.sender, result=result)
    if case.standing != 0:
        self._put_case(name, self._meet(name, case, number, case.standing))
    else:
        self._match(name, case, number)


@external
def play(number: uint256, left: bytes32, right: bytes32, low: bytes32, high: bytes32):
    """
    @notice Shows, for the side whose turn it is, the nodes below its node and below the first of
            those that differs. Anybody may; the fee comes out of the bond of the claim, for one that
            stands by right, which has none, out of that of its opponent.
    """
    duel: Duel = self._duel(number)
    turn: uint256 = duel.state & 1
    assert duel.state >> 1 == PLAY, "WRONG_PHASE"
    spent: uint256 = block.number - duel.since
    assert spent <= (duel.clock_a if turn == 0 else duel.clock_b), "TOO_LATE"
    goes_right: bool = left == duel.left
    mine: bytes32 = right if goes_right else left
    theirs: bytes32 = duel.right if goes_right else duel.left
    assert sha256(concat(left, right)) == duel.mine, "BAD_VALUE"
    assert duel.height == 1 or sha256(concat(low, high)) == mine, "BAD_VALUE"
    if turn == 0:
        duel.clock_a -= spent
    else:
        duel.clock_b -= spent
    duel.index = 2 * duel.index + convert(goes_right, uint256)
    duel.since = block.number
    if duel.height == 1:
        duel.left = mine if turn == 0 else theirs
        duel.right = theirs if turn == 0 else mine
        duel.mine = empty(bytes32)
        duel.state = 1 - turn + 2 * JUDGE
    else:
        duel.left = low
        duel.right = high
        duel.mine = theirs
        duel.state = 1 - turn + 2 * PLAY
    duel.height -= 1
    self._put_duel(number, duel)
    self._pay_fee(duel.a if turn == 0 or self._is_nobodys(duel.b) else duel.b)
    log Played(duel=number, left=left, right=right, low=low, high=high)


@external
def judge(
    number: uint256,
    checkpoint: bytes32,
    step: Step,
    proof: DynArray[bytes32, MAX_DEPTH],
    step_proof: DynArray[bytes32, MAX_DEPTH],
    values: DynArray[int256, 65],
    proofs: DynArray[bytes32, 1300],
):
    """
    @notice Computes the step about which two claims differ. Who is wrong is out, perhaps both. A
            step for the pool is what the vote has said: there the claim that stands by right is
            right, and between two others nothing is.
    @param checkpoint The last one on which both agree.
    @param step Of the program.
    @param proof Siblings of the checkpoint in the tree of either side.
    @param step_proof Siblings of the step in the program's tree.
    @param values The words that the step reads, then the one that it writes.
    @param proofs Their siblings in the memory's tree, one word after the other.
    """
    duel: Duel = self._duel(number)
    assert duel.state >> 1 == JUDGE, "WRONG_PHASE"
    assert block.number - duel.since <= T.judging, "TOO_LATE"
    case: Case = self._case(self.claims[duel.a].case)
    if duel.index == 0:  # a claim that stands by right has not shown where it begins
        self._end(number, duel, duel.left == case.start, duel.right == case.start, WRONG)
        return
    at: uint256 = duel.index - 1
    assert len(proof) == case.depth and len(step_proof) == case.depth, "BAD_VALUE"
    root: bytes32 = self._fold(checkpoint, at, proof)
    assert root == self._root(duel.a) or root == self._root(duel.b), "BAD_VALUE"
    digest: bytes32 = sha256(
        concat(
            convert(step.op, bytes32),
            convert(step.into, bytes32),
            convert(step.start, bytes32),
            convert(step.stride, bytes32),
            convert(step.size, bytes32),
            convert(step.start2, bytes32),
            convert(step.stride2, bytes32),
            convert(step.size2, bytes32),
            convert(step.a, bytes32),
            convert(step.b, bytes32),
            step.seed,
        )
    )
    assert self._fold(digest, at, step_proof) == case.program, "BAD_VALUE"
    right: bytes32 = checkpoint
    if step.op == POOL:
        assert self._is_nobodys(duel.b), "BAD_VALUE"
        right = duel.right
    elif step.op != HALT:
        right = self._next(checkpoint, step, values, proofs, case.memory)
    self._end(number, duel, duel.left == right, duel.right == right, WRONG)


@external
def time_out(number: uint256):
    """
    @notice Ends a duel that stands still: the side whose clock is out loses; at the last step,
            where anybody could have shown the witness, both do, but for a claim that stands by
            right: who has not shown what is wrong with it has lost.
    """
    duel: Duel = self._duel(number)
    stage: uint256 = duel.state >> 1
    turn: uint256 = duel.state & 1
    assert stage != OVER, "WRONG_PHASE"
    limit: uint256 = duel.clock_a if turn == 0 else duel.clock_b
    if stage == JUDGE:
        limit = T.judging
    assert block.number - duel.since > limit, "TOO_EARLY"
    a_stays: bool = stage == PLAY and turn == 1
    b_stays: bool = turn == 0
    if stage == JUDGE:
        b_stays = self._is_nobodys(duel.b)
    self._end(number, duel, a_stays, b_stays, SILENT)


@external
def close(name: bytes32):
    """
    @notice The window is over and no duel runs: the claim that is left, if any, has won; that is the
            one that stands by right, unless somebody has beaten it. If it has fallen and the case
            is contested, none has won: what is left has not been held against the two that are out.
    """
    case: Case = self._case(name)
    assert case.closed == 0 and case.running == 0, "WRONG_PHASE"
    assert case.since != 0 and block.number - case.since > T.window, "TOO_EARLY"
    if case.waiting != 0:
        purse: uint256 = self.claims[case.waiting].purse
        owner: uint256 = purse & convert(max_value(uint160), uint256)
        self.balances[convert(convert(owner, uint160), address)] += purse >> 160
        self.claims[case.waiting].purse = owner
    case.winner = case.standing if case.fallen == 0 and case.standing != 0 else case.waiting
    if case.fallen != 0 and case.contested == 1:
        case.winner = 0
    case.closed = block.number
    self._put_case(name, case)
    log Closed(case=name, winner=case.winner)


@external
def pay_out():
    """
    @notice Sends all that the caller has here.
    """
    units: uint256 = self.balances[msg.sender]
    assert units != 0, "NOT_ENOUGH_MONEY"
    self.balances[msg.sender] = 0
    raw_call(msg.sender, b"", value=units)


@external
@view
def result_of(name: bytes32) -> bytes32:
    """
    @notice The accepted last checkpoint of a closed case; nothing where no claim was left.
    """
    case: Case = self._case(name)
    return self.claims[case.winner].result


@external
@view
def ruling(name: bytes32) -> Ruling:
    """
    @notice What a market asks about a case.
    """
    lanes: uint256 = self.cases[name].lanes
    found: Ruling = empty(Ruling)
    found.closed = (lanes >> 192) & LANE
    found.depth = lanes & LANE
    found.size = (lanes >> 32) & LANE
    found.proven = found.closed != 0 and lanes >> 254 == WRONG
    winner: uint256 = (lanes >> 160) & LANE
    if winner != 0:
        found.root = self._root(winner)
        owner: uint256 = self.claims[winner].purse & convert(max_value(uint160), uint256)
        found.owner = convert(convert(owner, uint160), address)
    return found


@external
@view
def case_of(name: bytes32) -> Case:
    """
    @notice A case.
    """
    return self._case(name)


@external
@view
def claim_of(number: uint256) -> Claim:
    """
    @notice A claim.
    """
    return self.claims[number]


@external
@view
def duel_of(number: uint256) -> Duel:
    """
    @notice A duel.
    """
    return self._duel(number)


# Trees


@internal
@pure
def _fold(
    leaf: bytes32, index: uint256, proof: DynArray[bytes32, MAX_DEPTH]
) -> bytes32:
    node: bytes32 = leaf
    at: uint256 = index
    for sibling: bytes32 in proof:
        node = sha256(concat(sibling, node)) if at & 1 == 1 else sha256(concat(node, sibling))
        at >>= 1
    return node


@internal
@view
def _root(number: uint256) -> bytes32:
    if self._is_nobodys(number):
        return self.claims[number].left
    return sha256(concat(self.claims[number].left, self.claims[number].right))


@internal
@view
def _is_nobodys(number: uint256) -> bool:
    """
    @dev The claim that stands by right: of its tree only the root is known.
    """
    return self.claims[number].purse & convert(max_value(uint160), uint256) == 0


# The last step


@internal
@pure
def _next(
    checkpoint: bytes32,
    step: Step,
    values: DynArray[int256, 65],
    proofs: DynArray[bytes32, 1300],
    size: uint256,
) -> bytes32:
    """
    @dev The checkpoint after an exact step.
    """
    for place: uint256 in [
        step.into,
        step.start,
        step.stride,
        step.size,
        step.start2,
        step.stride2,
        step.size2,
    ]:
        assert place <= LANE, "BAD_VALUE"
    for factor: int256 in [step.a, step.b]:
        assert -MAX_FACTOR <= factor and factor <= MAX_FACTOR, "BAD_VALUE"
    total: uint256 = step.size + step.size2
    assert total <= MAX_READS, "BAD_VALUE"
    assert len(values) == total + 1 and len(proofs) == size * (total + 1), "BAD_VALUE"
    for i: uint256 in range(total + 1, bound=65):
        at: uint256 = step.into
        if i < step.size:
            at = step.start + step.stride * i
        elif i < total:
            at = step.start2 + step.stride2 * (i - step.size)
        assert values[i] >= LEAST and values[i] <= MOST and at < 1 << size, "BAD_VALUE"
        node: bytes32 = self._climb(convert(values[i], bytes32), at, proofs, size * i, size)
        assert node == checkpoint, "BAD_VALUE"
    new: bytes32 = convert(self._compute(step, values), bytes32)
    return self._climb(new, step.into, proofs, size * total, size)


@internal
@pure
def _climb(
    leaf: bytes32, index: uint256, proofs: DynArray[bytes32, 1300], start: uint256, size: uint256
) -> bytes32:
    node: bytes32 = leaf
    at: uint256 = index
    for i: uint256 in range(size, bound=MAX_MEMORY):
        sibling: bytes32 = proofs[start + i]
        node = sha256(concat(sibling, node)) if at & 1 == 1 else sha256(concat(node, sibling))
        at >>= 1
    return node


@internal
@pure
def _compute(step: Step, values: DynArray[int256, 65]) -> int256:
    """
    @dev The word that a step writes; see `compute` in d2m_jax/court/steps.py.
    """
    n: uint256 = step.size
    old: int256 = values[n + step.size2]
    if step.op == DRAW:
        return self._drawn(step, values)
    if step.op == SUM:
        total: int256 = 0
        for i: uint256 in range(n, bound=MAX_READS):
            total += values[i]
        return self._clip(total)
    if step.op == TRIMMED_MEAN:
        assert step.a >= 0 and 2 * step.a < convert(n, int256), "BAD_VALUE"
        return self._trimmed_mean(values, n, convert(step.a, uint256))
    if step.op == AXPY:
        assert n == 1, "BAD_VALUE"
        return self._clip(self._floor(step.a * old + step.b * values[0] + ONE // 2, ONE))
    assert step.op == COUNT and n == step.size2, "BAD_VALUE"
    same: int256 = 0
    for i: uint256 in range(n, bound=MAX_READS):
        if values[i] == values[n + i]:
            same += 1
    return self._clip(old + same)


@internal
@pure
def _drawn(step: Step, values: DynArray[int256, 65]) -> int256:
    mass: DynArray[uint256, 65] = []
    total: uint256 = 0
    for i: uint256 in range(step.size, bound=MAX_READS):
        m: uint256 = convert(max(values[i], 0), uint256)
        for j: uint256 in range(step.size2, bound=MAX_READS):
            if values[step.size + j] == convert(i, int256):
                m = 0
        mass.append(m)
        total += m
    if total == 0:
        return -1
    x: uint256 = convert(sha256(concat(step.seed, convert(step.a, bytes32))), uint256) % total
    for i: uint256 in range(step.size, bound=MAX_READS):
        if x < mass[i]:
            return convert(i, int256)
        x -= mass[i]
    return -1


@internal
@pure
def _trimmed_mean(values: DynArray[int256, 65], n: uint256, trim: uint256) -> int256:
    row: DynArray[int256, 65] = values
    for i: uint256 in range(n, bound=MAX_READS):  # sorted by insertion
        x: int256 = row[i]
        j: uint256 = i
        for _: uint256 in range(MAX_READS):
            if j == 0 or row[j - 1] <= x:
                break
            row[j] = row[j - 1]
            j -= 1
        row[j] = x
    total: int256 = 0
    for i: uint256 in range(n - 2 * trim, bound=MAX_READS):
        total += row[trim + i]
    m: int256 = convert(n - 2 * trim, int256)
    return self._floor(2 * total + m, 2 * m)


@internal
@pure
def _floor(x: int256, y: int256) -> int256:
    """
    @dev x / y rounded down, y > 0; the EVM rounds towards zero.
    """
    return x // y - (1 if x % y < 0 else 0)


@internal
@pure
def _clip(x: int256) -> int256:
    return max(LEAST, min(MOST, x))


# The tournament


@internal
@view
def _next_number() -> uint256:
    """
    @dev Of a claim; the last lane of a case holds no larger one.
    """
    number: uint256 = self.claims_made + 1
    assert number <= MAX_CLAIMS, "TOO_LATE"
    return number


@internal
def _match(name: bytes32, before: Case, number: uint256):
    """
    @dev A claim without an opponent waits, or meets the one that does; the case is written.
    """
    case: Case = before
    if case.waiting == 0:
        case.waiting = number
    else:
        a: uint256 = case.waiting
        case.waiting = 0
        case = self._meet(name, case, a, number)
    self._put_case(name, case)


@internal
def _meet(name: bytes32, before: Case, a: uint256, b: uint256) -> Case:
    """
    @dev A duel begins. A's children are known from its claim: B, of which only the root may be
         known, moves first. The caller writes the case.
    """
    case: Case = before
    duel: uint256 = self.duels_met + 1
    self.duels_met = duel
    self._put_duel(
        duel,
        Duel(
            mine=self._root(b),
            left=self.claims[a].left,
            right=self.claims[a].right,
            a=a,
            b=b,
            clock_a=T.budget,
            clock_b=T.budget,
            index=0,
            since=block.number,
            height=case.depth,
            state=1 + 2 * PLAY,
        ),
    )
    log Met(case=name, duel=duel, a=a, b=b)
    case.running += 1
    return case


@internal
def _end(number: uint256, before: Duel, a_stays: bool, b_stays: bool, how: uint256):
    """
    @dev Who is wrong is out; the winner's bond is filled up from the loser's and it is free again.
         A claim that stands by right is never out, it has fallen (`how`: SILENT or WRONG): it has
         no bond to fill up another one from, and nobody to pay a prize to. Where two others are
         out by a clock, the case is contested: nobody could judge between them.
         Of the rest the sender gets the fee, the winner's owner its prize; what remains is burned.
    """
    duel: Duel = before
    duel.state = (duel.state & 1) + 2 * OVER
    self._put_duel(number, duel)
    name: bytes32 = self.claims[duel.a].case
    case: Case = self._case(name)
    case.running -= 1
    is_accused: bool = self._is_nobodys(duel.b)
    if is_accused and not b_stays:
        case.fallen = max(case.fallen, how)
    if how == SILENT and not a_stays and not b_stays:  # two others: else b stays
        case.contested = 1
    self._pay_fee(duel.b if a_stays and not is_accused else duel.a)
    pot: uint256 = 0
    if not a_stays:
        pot += self._drop(name, duel.a)
    if not b_stays and not is_accused:
        pot += self._drop(name, duel.b)
    winner: uint256 = duel.a if a_stays else (duel.b if b_stays else 0)
    log Ended(duel=number, winner=winner)
    if winner == 0 or self._is_nobodys(winner):
        self.burned += pot
        self._put_case(name, case)
        return
    purse: uint256 = self.claims[winner].purse
    owner: uint256 = purse & convert(max_value(uint160), uint256)
    fill: uint256 = min(T.bond - (purse >> 160), pot)
    pot -= fill
    prize: uint256 = pot * T.prize_bps // BPS
    self.claims[winner].purse = purse + (fill << 160)
    self.balances[convert(convert(owner, uint160), address)] += prize
    self.burned += pot - prize
    self._match(name, case, winner)


@internal
def _drop(name: bytes32, number: uint256) -> uint256:
    """
    @dev A claim is out; what was left of its bond.
    """
    purse: uint256 = self.claims[number].purse
    self.claims[number].purse = purse & convert(max_value(uint160), uint256)
    self.stands[sha256(concat(name, self._root(number)))] = False
    return purse >> 160


@internal
def _pay_fee(number: uint256):
    fee: uint256 = min(T.fee, self.claims[number].purse >> 160)
    self.claims[number].purse -= fee << 160
    self.balances[msg.sender] += fee


# Storage


@internal
@view
def _case(name: bytes32) -> Case:
    kept: Kept = self.cases[name]
    assert kept.lanes != 0, "UNKNOWN_JOB"
    return Case(
        start=kept.start,
        program=kept.program,
        depth=kept.lanes & LANE,
        memory=(kept.lanes >> 32) & LANE,
        since=(kept.lanes >> 64) & LANE,
        running=(kept.lanes >> 96) & LANE,
        waiting=(kept.lanes >> 128) & LANE,
        winner=(kept.lanes >> 160) & LANE,
        closed=(kept.lanes >> 192) & LANE,
        standing=(kept.lanes >> 224) & MAX_CLAIMS,
        fallen=kept.lanes >> 254,
        contested=(kept.lanes >> 253) & 1,
    )


@internal
def _put_case(name: bytes32, case: Case):
    self.cases[name].lanes = (
        case.depth
        | (case.memory << 32)
        | (case.since << 64)
        | (case.running << 96)
        | (case.waiting << 128)
        | (case.winner << 160)
        | (case.closed << 192)
        | (case.standing << 224)
        | (case.contested << 253)
        | (case.fallen << 254)
    )


@internal
@view
def _duel(number: uint256) -> Duel:
    assert number >= 1 and number <= self.duels_met, "UNKNOWN_JOB"
    kept: KeptDuel = self.duels[number]
    return Duel(
        mine=kept.mine,
        left=kept.left,
        right=kept.right,
        a=kept.lanes & LANE,
        b=(kept.lanes >> 32) & LANE,
        clock_a=(kept.lanes >> 64) & LANE,
        clock_b=(kept.lanes >> 96) & LANE,
        index=(kept.lanes >> 128) & LANE,
        since=(kept.lanes >> 160) & LANE,
        height=(kept.lanes >> 192) & LANE,
        state=(kept.lanes >> 224) & LANE,
    )


@internal
def _put_duel(number: uint256, duel: Duel):
    self.duels[number] = KeptDuel(
        mine=duel.mine,
        left=duel.left,
        right=duel.right,
        lanes=duel.a
        | (duel.b << 32)
        | (duel.clock_a << 64)
        | (duel.clock_b << 96)
        | (duel.index << 128)
        | (duel.since << 160)
        | (duel.height << 192)
        | (duel.state << 224),
    )
