# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
# pragma nonreentrancy on
# @license Apache-2.0
"""
@title D2M votes
@notice The votes of CONE as a contract: the same checks in the same order as d2m_jax.ledger.votes.
        A unit of work is opened when the market asks for it, its sets are drawn by lot from a seed
        that was fixed before, nodes commit and reveal digests, anybody has them counted and tells
        what the accepted one stands for.
@dev No function looks at who calls but the two votes, which are those of a seat. The contract holds
     no money and sends nothing; the market reads what came out.

     A "lane" is 32 bits of a word; numbers are below 2**31. A set is numbered from 1.
"""

MAX_JOBS: constant(uint256) = 16
MAX_NODES: constant(uint256) = 1024
MAX_SELLERS: constant(uint256) = 256
MAX_LOTS: constant(uint256) = 4096
MAX_SETS: constant(uint256) = 32
MAX_WORDS: constant(uint256) = 1040  # of the table of scores
NODE_WORDS: constant(uint256) = MAX_NODES // 8
NODE_BITS: constant(uint256) = MAX_NODES // 256
MAX_CONTENT: constant(uint256) = 32 * (4 + MAX_SELLERS // 16 + 1)
LANE: constant(uint256) = 2**32 - 1
INFINITE: constant(uint256) = 2**30 - 1
CERTAIN: constant(uint256) = 2**31 - 1
EVERY_16: constant(uint256) = max_value(uint256) // (2**16 - 1)  # a one in every 16 bits
BPS: constant(uint256) = 10_000

# Stages of a unit (`Stage`), scores of a digest (`Score`), how a node ended (`Outcome`).
IDLE: constant(uint256) = 0
OPEN: constant(uint256) = 1
VOTING: constant(uint256) = 2
DECIDED: constant(uint256) = 3
FAILED: constant(uint256) = 4
VOTES: constant(uint256) = 0
LIKELIHOOD: constant(uint256) = 1
SQUARES: constant(uint256) = 2
LAST_SET: constant(uint256) = 3
NOT_DRAWN: constant(uint256) = 0
MATCHED: constant(uint256) = 1
WRONG: constant(uint256) = 2
SILENT: constant(uint256) = 3


interface IMarket:
    def wanted(job: uint256) -> (uint256, uint256, bytes32): view  # serial, unit, seed of the job
    def electorate(job: uint256) -> DynArray[uint256, MAX_NODES // 4]: view  # stakes at risk, or 0
    def for_votes() -> (address, uint256, uint256, uint256, uint256, uint256, uint256): view
    def node_of(who: address) -> uint256: view  # plus one, 0 nobody


struct Terms:
    commit_window: uint256
    reveal_window: uint256
    num_rounds: uint256
    rule: uint256
    independent: uint256
    by_stake: uint256
    chance: uint256
    max_sets: uint256


struct Unit:  # two words
    serial: uint256
    unit: uint256
    stage: uint256
    attempt: uint256  # sets drawn
    since: uint256  # block of the last draw
    pool: uint256  # lots of all eligible nodes
    size: uint256  # seats of the latest set
    voters: uint256  # nodes drawn so far, the length of the roll
    #
    waiting: uint256  # nodes of the latest set that have not revealed
    digests: uint256  # different ones
    top: uint256  # a node that revealed the digest with most votes, plus one
    first: uint256  # votes of it
    second: uint256  # most votes of another
    best: uint256  # the same three in score, where that is no matter of votes alone
    most: uint256
    next: uint256


struct Ballot:  # one word
    serial: uint256  # of the unit that it belongs to
    lots: uint256  # seats in all sets
    first: uint256  # set in which the node votes
    last: uint256  # set in which it sat last
    seats: uint256  # seats there
    state: uint256  # 0 drawn, 1 committed, 2 revealed


struct Decision:  # what a unit came to; sets of nodes have one bit each
    serial: uint256
    stage: uint256
    since: uint256
    accepted: bytes32  # nothing, if it is not decided
    is_open: bool  # its content is known
    papers: bytes32  # see `papers_of`: keccak256 of the hash so far, node, digest, again and again
    matched: uint256[NODE_BITS]
    wrong: uint256[NODE_BITS]
    silent: uint256[NODE_BITS]


struct Paper:
    node: uint256
    digest: bytes32


struct Sum:  # one word, of a digest
    votes: uint256
    now: uint256  # votes in the set below
    attempt: uint256
    before: uint256  # score in the sets before it


event UnitOpened:
    job: indexed(uint256)
    serial: uint256
    unit: uint256
    seed: bytes32

event SetDrawn:
    job: indexed(uint256)
    attempt: uint256
    size: uint256

event Committed:
    job: indexed(uint256)
    node: indexed(uint256)

event Revealed:
    job: indexed(uint256)
    node: indexed(uint256)
    digest: bytes32

event Counted:
    job: indexed(uint256)
    stage: uint256
    winner: uint256  # a node that revealed what is accepted, plus one; 0 none

event ContentOpened:
    job: indexed(uint256)
    content: Bytes[MAX_CONTENT]


T: immutable(Terms)
MARKET: public(immutable(address))
JOBS: public(immutable(uint256))
NODES: public(immutable(uint256))
SELLERS: public(immutable(uint256))

ends: uint256[MAX_SETS // 8][2]  # lanes: seats after each set; of a unit, of a dispute
rows: uint256[MAX_SETS // 8][2]  # lanes: where the scores of a set begin
scores: uint256[MAX_WORDS]  # lanes
bounds: uint256[NODE_WORDS]  # lanes: least lead in score, by rival digests less one
num_scores: uint256
units: uint256[2][MAX_JOBS]  # packed Unit
accepted: bytes32[MAX_JOBS]  # of the last unit that was decided
seeds: public(bytes32[MAX_JOBS])
mixed: public(bytes32[MAX_JOBS])  # of all salts ever revealed in the slot
told: uint256[MAX_JOBS]  # serial of the unit whose content is known
contents: HashMap[uint256, Bytes[MAX_CONTENT]]
urns: uint256[NODE_WORDS][MAX_JOBS]  # lanes: lots that are not drawn yet, or the chance of a seat
rolls: uint256[NODE_WORDS][MAX_JOBS]  # lanes: the nodes drawn, in order
ballots: uint256[MAX_NODES][MAX_JOBS]  # packed Ballot
papers: bytes32[MAX_NODES][MAX_JOBS]  # a commitment, then the digest that was revealed
sums: HashMap[bytes32, uint256]  # packed Sum


@deploy
def __init__(
    market: address,
    num_jobs: uint256,
    num_nodes: uint256,
    num_sellers: uint256,
    terms: Terms,
    ends: uint256[MAX_SETS // 8][2],
    rows: uint256[MAX_SETS // 8][2],
    num_scores: uint256,
    scores: DynArray[uint256, MAX_WORDS],
    bounds: DynArray[uint256, NODE_WORDS],
):
    """
    @notice Fixes the market, the sizes and the rules for good; the tables are those of
            d2m_jax.cone.tables, eight numbers to the word, the lowest first.
    """
    assert market != empty(address), "LAYOUT"
    assert num_jobs >= 1 and num_jobs <= MAX_JOBS, "LAYOUT"
    assert num_nodes >= 1 and num_nodes <= MAX_NODES and num_sellers <= MAX_SELLERS, "LAYOUT"
    # In one block who draws would vote alone.
    assert terms.commit_window >= 2 and terms.commit_window <= 2**20, "RULES"
    assert terms.reveal_window >= 1 and terms.reveal_window <= 2**20, "RULES"
    assert terms.max_sets >= 1 and terms.max_sets <= MAX_SETS and terms.rule <= LAST_SET, "RULES"
    assert terms.independent <= 1 and terms.by_stake <= 1 and terms.chance <= CERTAIN, "RULES"
    assert terms.num_rounds <= 2**30 and num_scores >= 1, "RULES"
    assert 8 * len(scores) >= num_scores and 8 * len(bounds) >= num_nodes, "RULES"
    votes: address = empty(address)
    sizes: uint256[4] = empty(uint256[4])
    content_window: uint256 = 0
    timeout: uint256 = 0
    votes, sizes[0], sizes[1], sizes[2], sizes[3], content_window, timeout = (
        staticcall IMarket(market).for_votes()
    )
    same: bool = sizes[0] == num_jobs and sizes[1] == num_nodes and sizes[2] == num_sellers
    assert votes == self and same and sizes[3] == terms.num_rounds, "MARKET"
    windows: uint256 = terms.commit_window + terms.reveal_window
    assert content_window > windows, "MARKET"
    # Else a job could end while its last vote still runs.
    assert timeout > (terms.max_sets - 1) * windows + content_window, "MARKET"
    MARKET = market
    JOBS = num_jobs
    NODES = num_nodes
    SELLERS = num_sellers
    T = terms
    self.ends = ends
    self.rows = rows
    self.num_scores = num_scores
    i: uint256 = 0
    for word: uint256 in scores:
        self.scores[i] = word
        i += 1
    i = 0
    for word: uint256 in bounds:
        self.bounds[i] = word
        i += 1


@external
def __default__():
    raise "UNKNOWN_ACTION"


# A unit of work


@external
def open_unit(job: int256):
    """
    @notice Anybody opens the unit that the market asks for; the electorate is what it is now, and
            the seed is fixed: by the seed of the job and, but for its first unit, by all salts
            revealed in the slot so far.
    @dev A job that was timed out may leave a vote open behind, in which nobody is slashed any more:
         who reveals there until the next job begins must not choose its seats.
    """
    slot: uint256 = self._slot(job)
    serial: uint256 = 0
    unit: uint256 = 0
    seed: bytes32 = empty(bytes32)
    serial, unit, seed = staticcall IMarket(MARKET).wanted(slot)
    assert serial != 0, "WRONG_PHASE"
    assert serial != self.units[slot][0] & LANE, "ALREADY_DONE"
    assert unit <= 2 * T.num_rounds + 1 and serial <= CERTAIN, "BAD_VALUE"
    u: Unit = empty(Unit)
    u.serial = serial
    u.unit = unit
    u.pool = self._fill_urn(slot)
    u.stage = FAILED if u.pool == 0 else OPEN
    self._set_unit(slot, u)
    salts: bytes32 = self.mixed[slot] if unit > 0 else empty(bytes32)
    seed = keccak256(abi_encode(self, slot, serial, seed, salts))
    self.seeds[slot] = seed
    log UnitOpened(job=slot, serial=serial, unit=unit, seed=seed)


@internal
def _fill_urn(slot: uint256) -> uint256:
    """
    @dev Writes what each node has in the urn and returns how many lots that is, or nodes where
         every node has a seat by chance.
    """
    stakes: DynArray[uint256, MAX_NODES // 4] = staticcall IMarket(MARKET).electorate(slot)
    assert len(stakes) == (NODES + 3) // 4, "LAYOUT"
    total: uint256 = 0
    number: uint256 = 0
    for four: uint256 in stakes:
        for k: uint256 in range(4):
            stake: uint256 = (four >> 64 * k) & (2**64 - 1)
            total += stake
            number += convert(stake > 0, uint256)
    most: uint256 = max(1024, 4 * NODES)
    quantum: uint256 = max((total + most - 1) // most, 1)
    mean: uint256 = max(total // max(number, 1), 1)
    pool: uint256 = 0
    word: uint256 = 0
    for i: uint256 in range(NODES, bound=MAX_NODES):
        stake: uint256 = (stakes[i // 4] >> 64 * (i % 4)) & (2**64 - 1)
        lots: uint256 = 0
        if stake > 0:
            if T.independent == 1:
                lots = T.chance
                if T.by_stake == 1:
                    lots = min(T.chance * stake // mean, CERTAIN)
                pool += convert(lots > 0, uint256)
            else:
                lots = 1
                if T.by_stake == 1:
                    lots = stake // quantum
                pool += lots
        word |= lots << 32 * (i % 8)
        if i % 8 == 7 or i + 1 == NODES:
            self.urns[slot][i // 8] = word
            word = 0
    return pool


@external
def draw(job: int256):
    """
    @notice Anybody has the next set drawn; who is in it follows from the seed of the unit.
    """
    slot: uint256 = 0
    u: Unit = empty(Unit)
    slot, u = self._enter(job, OPEN)
    u.attempt += 1
    got: uint256[NODE_WORDS] = empty(uint256[NODE_WORDS])
    if T.independent == 1:
        got = self._by_chance(slot, u.attempt)
    else:
        got = self._by_lot(slot, u)
    u.stage = VOTING
    u.since = block.number
    u.size = 0
    u.waiting = 0
    if T.rule == LAST_SET:
        u.best = 0
        u.most = 0
        u.next = 0
    for w: uint256 in range((NODES + 7) // 8, bound=NODE_WORDS):
        if got[w] != 0:
            if T.independent == 0:
                self.urns[slot][w] -= got[w]
            for i: uint256 in range(8):
                lots: uint256 = (got[w] >> 32 * i) & LANE
                if lots > 0:
                    u = self._seat(slot, u, 8 * w + i, lots)
    self._set_unit(slot, u)
    log SetDrawn(job=slot, attempt=u.attempt, size=u.size)


@view
@internal
def _by_chance(slot: uint256, attempt: uint256) -> uint256[NODE_WORDS]:
    """
    @dev Every node has a seat with its chance: 31 bits of a hash are below it.
    """
    got: uint256[NODE_WORDS] = empty(uint256[NODE_WORDS])
    seed: bytes32 = self.seeds[slot]
    word: uint256 = 0
    for node: uint256 in range(NODES, bound=MAX_NODES):
        if node % 8 == 0:
            word = self.urns[slot][node // 8]
        lot: uint256 = convert(keccak256(abi_encode(seed, attempt, node)), uint256) & CERTAIN
        if lot < (word >> 32 * (node % 8)) & LANE:
            got[node // 8] |= 1 << 32 * (node % 8)
    return got


@view
@internal
def _by_lot(slot: uint256, u: Unit) -> uint256[NODE_WORDS]:
    """
    @dev Lots are drawn one after the other, without putting back: those that are left lie in a row,
         the one at a random place is taken and the last one is put there. 16 bits name its node.
    """
    got: uint256[NODE_WORDS] = empty(uint256[NODE_WORDS])
    seed: bytes32 = self.seeds[slot]
    row: uint256[MAX_LOTS // 16] = empty(uint256[MAX_LOTS // 16])
    left: uint256 = 0
    word: uint256 = 0
    for node: uint256 in range(NODES, bound=MAX_NODES):
        if node % 8 == 0:
            word = self.urns[slot][node // 8]
        end: uint256 = left + ((word >> 32 * (node % 8)) & LANE)
        if end == left + 1:
            row[left // 16] |= node << 16 * (left % 16)
        elif end > left:
            full: uint256 = node * EVERY_16
            for w: uint256 in range(left // 16, (end + 15) // 16, bound=MAX_LOTS // 16):
                start: uint256 = max(left, 16 * w) - 16 * w
                number: uint256 = min(end - 16 * w, 16) - start
                mask: uint256 = max_value(uint256) >> (256 - 16 * number)
                row[w] |= full & (mask << 16 * start)
        left = end
    for k: uint256 in range(self._next_size(u), bound=MAX_LOTS):
        at: uint256 = convert(keccak256(abi_encode(seed, u.attempt, k)), uint256) % left
        left -= 1
        last: uint256 = (row[left // 16] >> 16 * (left % 16)) & (2**16 - 1)
        node: uint256 = (row[at // 16] >> 16 * (at % 16)) & (2**16 - 1)
        row[at // 16] ^= (node ^ last) << 16 * (at % 16)
        got[node // 8] += 1 << 32 * (node % 8)
    return got


@view
@internal
def _next_size(u: Unit) -> uint256:
    """
    @dev Seats of the set that is being drawn, the last ones at most.
    """
    start: uint256 = min(self._end(u, u.attempt - 1), u.pool) if u.attempt > 1 else 0
    return min(self._end(u, u.attempt), u.pool) - start


@view
@internal
def _end(u: Unit, attempt: uint256) -> uint256:
    """
    @dev Seats given out after a set, by the schedule.
    """
    i: uint256 = attempt - 1
    return (self.ends[self._is_dispute(u)][i // 8] >> 32 * (i % 8)) & LANE


@internal
def _seat(slot: uint256, before: Unit, node: uint256, lots: uint256) -> Unit:
    """
    @dev Lots of a node in the set that is being drawn. It votes in its first set; lots that come
         later count for what it has revealed.
    """
    u: Unit = before
    u.size += lots
    b: Ballot = self._ballot(slot, node)
    if b.serial != u.serial:
        b = empty(Ballot)
        b.serial = u.serial
        b.first = u.attempt
        word: uint256 = self.rolls[slot][u.voters // 8] if u.voters % 8 > 0 else 0
        self.rolls[slot][u.voters // 8] = word | node << 32 * (u.voters % 8)
        u.voters += 1
        u.waiting += 1
    b.lots += lots
    b.last = u.attempt
    b.seats = lots
    self._set_ballot(slot, node, b)
    if b.state == 2:
        u = self._add(slot, u, node, self.papers[slot][node], lots)
    return u


# The vote


@external
def commit_vote(job: int256, commitment: bytes32):
    """
    @notice A node of the latest set commits to a digest: keccak256 of seed, set, node, digest and
            salt, a word each.
    """
    slot: uint256 = 0
    node: uint256 = 0
    u: Unit = empty(Unit)
    b: Ballot = empty(Ballot)
    slot, node, u, b = self._voter(job)
    assert block.number - u.since < T.commit_window, "TOO_LATE"
    assert commitment != empty(bytes32), "BAD_VALUE"
    assert b.state == 0, "ALREADY_DONE"
    b.state = 1
    self._set_ballot(slot, node, b)
    self.papers[slot][node] = commitment
    log Committed(job=slot, node=node)


@external
def reveal_vote(job: int256, digest: bytes32, salt: bytes32):
    """
    @notice A node opens its commitment, after the last block for commitments.
    """
    slot: uint256 = 0
    node: uint256 = 0
    u: Unit = empty(Unit)
    b: Ballot = empty(Ballot)
    slot, node, u, b = self._voter(job)
    age: uint256 = block.number - u.since
    assert age >= T.commit_window, "TOO_EARLY"
    assert age < T.commit_window + T.reveal_window, "TOO_LATE"
    assert b.state != 2, "ALREADY_DONE"
    promise: bytes32 = keccak256(abi_encode(self.seeds[slot], u.attempt, node, digest, salt))
    is_promised: bool = b.state == 1 and self.papers[slot][node] == promise
    assert digest != empty(bytes32) and is_promised, "BAD_VALUE"
    b.state = 2
    self._set_ballot(slot, node, b)
    self.papers[slot][node] = digest
    # A sum without order: who is mined last, and who mines, choose nothing.
    self.mixed[slot] ^= keccak256(abi_encode(node, salt))
    u.waiting -= 1
    u = self._add(slot, u, node, digest, b.seats)
    self._set_unit(slot, u)
    log Revealed(job=slot, node=node, digest=digest)


@external
def tally(job: int256):
    """
    @notice Anybody has the votes counted: a digest is accepted, or a further set can be drawn.
    """
    slot: uint256 = 0
    u: Unit = empty(Unit)
    slot, u = self._enter(job, VOTING)
    if u.waiting > 0:
        assert block.number - u.since >= T.commit_window + T.reveal_window, "TOO_EARLY"
    is_empty: bool = False
    if T.independent == 0:
        is_empty = self._end(u, u.attempt) >= u.pool
    winner: uint256 = self._winner(u)
    if winner == 0 and is_empty and u.first > u.second:
        winner = u.top
    if winner > 0:
        u.stage = DECIDED
        self.accepted[slot] = self.papers[slot][winner - 1]
    else:
        u.stage = FAILED if is_empty or u.attempt == T.max_sets else OPEN
    self._set_unit(slot, u)
    log Counted(job=slot, stage=u.stage, winner=winner)


@view
@internal
def _winner(u: Unit) -> uint256:
    """
    @dev A node of the digest that the stop rule accepts, plus one, or 0.
    """
    if T.rule == LAST_SET:
        return u.best if u.size > 0 and 3 * u.most >= 2 * u.size else 0
    top: uint256 = u.top
    first: uint256 = u.first
    second: uint256 = u.second
    if self._is_per_set():
        top = u.best
        first = u.most
        second = u.next
    elif T.rule == LIKELIHOOD:
        first = self._score(first)
        second = self._score(second)
    rivals: uint256 = min(max(u.digests, 2) - 1, NODES)
    bound: uint256 = (self.bounds[(rivals - 1) // 8] >> 32 * ((rivals - 1) % 8)) & LANE
    return top if second < INFINITE and first >= second + bound else 0


@internal
def _add(slot: uint256, before: Unit, node: uint256, digest: bytes32, lots: uint256) -> Unit:
    """
    @dev Votes for a digest, which the paper of the node names already.
    """
    u: Unit = before
    key: bytes32 = keccak256(abi_encode(slot, u.serial, digest))
    s: Sum = self._sum(key)
    if s.votes == 0:
        u.digests += 1
    if s.attempt != u.attempt:
        if self._is_per_set() and s.attempt > 0:
            s.before = self._with_set(u, s)
        s.now = 0
        s.attempt = u.attempt
    s.votes += lots
    s.now += lots
    self.sums[key] = s.votes | s.now << 32 | s.attempt << 64 | s.before << 96
    u.top, u.first, u.second = self._lead(
        slot, u.top, u.first, u.second, node, digest, s.votes
    )
    if T.rule == LAST_SET or self._is_per_set():
        amount: uint256 = s.now if T.rule == LAST_SET else self._with_set(u, s)
        u.best, u.most, u.next = self._lead(slot, u.best, u.most, u.next, node, digest, amount)
    return u


@view
@internal
def _lead(
    slot: uint256,
    top: uint256,
    first: uint256,
    second: uint256,
    node: uint256,
    digest: bytes32,
    amount: uint256,
) -> (uint256, uint256, uint256):
    """
    @dev The first two of amounts that only grow, after one of them has grown.
    """
    if top > 0 and self.papers[slot][top - 1] == digest:
        return top, amount, second
    if amount > first:
        return node + 1, amount, first
    return top, first, max(second, amount)


@view
@internal
def _with_set(u: Unit, s: Sum) -> uint256:
    """
    @dev The score of a digest with the votes of its latest set.
    """
    i: uint256 = s.attempt - 1
    row: uint256 = (self.rows[self._is_dispute(u)][i // 8] >> 32 * (i % 8)) & LANE
    return min(s.before + self._score(row + s.now), INFINITE)


@view
@internal
def _score(index: uint256) -> uint256:
    """
    @dev An entry of the table; beyond its end the last one.
    """
    i: uint256 = min(index, self.num_scores - 1)
    return (self.scores[i // 8] >> 32 * (i % 8)) & LANE


# What was decided


@external
def open_content(job: int256, content: Bytes[MAX_CONTENT]):
    """
    @notice Anybody tells what the accepted digest stands for. Words of 32 bytes. Of a round: the
            metric, 0 if it was not measured; digest of the model, which is the root of the
            checkpoints on the way to it; verdicts, 2 bits a seller. Of the verification: metric and
            first metric in two lanes; digests of the model and of the metric that were asked for,
            root of its checkpoints; payment weights, 16 bits a seller; harm, one bit a seller.
    """
    slot: uint256 = self._slot(job)
    u: Unit = self._unit(slot)
    assert u.stage == DECIDED, "WRONG_PHASE"
    assert self.told[slot] != u.serial, "ALREADY_DONE"
    assert keccak256(content) == self.accepted[slot], "BAD_VALUE"
    task: uint256 = u.unit
    if task > T.num_rounds:
        task -= T.num_rounds + 1
    assert self._is_well_formed(content, task == T.num_rounds), "BAD_VALUE"
    self.told[slot] = u.serial
    self.contents[slot] = content
    log ContentOpened(job=slot, content=content)


@pure
@internal
def _word(content: Bytes[MAX_CONTENT], i: uint256) -> uint256:
    return convert(extract32(content, 32 * i), uint256)


@view
@internal
def _is_well_formed(content: Bytes[MAX_CONTENT], is_verification: bool) -> bool:
    """
    @dev The length, and every field in its range, many at a time: no verdict is 3, no weight is
         above 2**15.
    """
    if not is_verification:
        number: uint256 = (SELLERS + 127) // 128
        if len(content) != 32 * (2 + number) or self._word(content, 0) > BPS:
            return False
        low: uint256 = max_value(uint256) // 3  # the lower bit of every pair
        for i: uint256 in range(number, bound=MAX_SELLERS // 128):
            word: uint256 = self._word(content, 2 + i)
            if word & (word >> 1) & low != 0:
                return False
        return True
    number: uint256 = (SELLERS + 15) // 16
    if len(content) != 32 * (4 + number + (SELLERS + 255) // 256):
        return False
    head: uint256 = self._word(content, 0)
    if head & LANE > BPS or head >> 32 > BPS:
        return False
    top: uint256 = EVERY_16 << 15  # the highest bit of every weight
    for i: uint256 in range(number, bound=MAX_SELLERS // 16):
        word: uint256 = self._word(content, 4 + i)
        rest: uint256 = word & ~top
        if word & (rest + (top - (top >> 15))) & top != 0:
            return False
    return True


@external
@view
def unit(job: uint256) -> Unit:
    return self._unit(job)


@external
@view
def ballot(job: uint256, node: uint256) -> (Ballot, bytes32):
    return self._ballot(job, node), self.papers[job][node]


@external
@view
def content_of(job: uint256) -> Bytes[MAX_CONTENT]:
    return self.contents[job]


@external
@view
def decision(job: uint256) -> Decision:
    """
    @notice What the unit in a slot came to, and how every node that was drawn ended. Without a
            result nobody is right or wrong: only silence is noted.
    """
    u: Unit = self._unit(job)
    d: Decision = empty(Decision)
    d.serial = u.serial
    d.stage = u.stage
    d.since = u.since
    d.is_open = self.told[job] == u.serial
    if u.stage == DECIDED:
        d.accepted = self.accepted[job]
    for i: uint256 in range(u.voters, bound=MAX_NODES):
        node: uint256 = self._voter_at(job, i)
        bit: uint256 = 1 << node % 256
        if self._ballot(job, node).state != 2:
            d.silent[node // 256] |= bit
            continue
        paper: bytes32 = self.papers[job][node]
        d.papers = keccak256(abi_encode(d.papers, node, paper))
        if u.stage == DECIDED:
            if paper == d.accepted:
                d.matched[node // 256] |= bit
            else:
                d.wrong[node // 256] |= bit
    return d


@external
@view
def papers_of(job: uint256) -> DynArray[Paper, MAX_NODES]:
    """
    @notice Who has revealed which digest, set by set and by rising node.
    """
    u: Unit = self._unit(job)
    found: DynArray[Paper, MAX_NODES] = []
    for i: uint256 in range(u.voters, bound=MAX_NODES):
        node: uint256 = self._voter_at(job, i)
        if self._ballot(job, node).state == 2:
            found.append(Paper(node=node, digest=self.papers[job][node]))
    return found


@view
@internal
def _voter_at(job: uint256, i: uint256) -> uint256:
    return (self.rolls[job][i // 8] >> 32 * (i % 8)) & LANE


# Who may


@view
@internal
def _slot(job: int256) -> uint256:
    assert job >= 0 and job < convert(JOBS, int256), "UNKNOWN_JOB"
    return convert(job, uint256)


@view
@internal
def _enter(job: int256, stage: uint256) -> (uint256, Unit):
    slot: uint256 = self._slot(job)
    u: Unit = self._unit(slot)
    if u.stage != stage:
        assert u.stage < DECIDED, "ALREADY_DONE"
        raise "WRONG_PHASE"
    return slot, u


@view
@internal
def _voter(job: int256) -> (uint256, uint256, Unit, Ballot):
    """
    @dev The checks that a vote begins with: a node, with a seat in the latest set, its first one.
    """
    number: uint256 = staticcall IMarket(MARKET).node_of(msg.sender)
    assert number > 0, "UNKNOWN_PARTY"
    slot: uint256 = 0
    u: Unit = empty(Unit)
    slot, u = self._enter(job, VOTING)
    b: Ballot = self._ballot(slot, number - 1)
    assert b.serial == u.serial and b.first == u.attempt, "NOT_AUTHORISED"
    return slot, number - 1, u, b


@view
@internal
def _is_dispute(u: Unit) -> uint256:
    return convert(u.unit > T.num_rounds, uint256)


@view
@internal
def _is_per_set() -> bool:
    return T.rule == SQUARES or (T.rule == LIKELIHOOD and T.independent == 1)


# Packing


@view
@internal
def _unit(slot: uint256) -> Unit:
    w: uint256[2] = self.units[slot]
    return Unit(
        serial=w[0] & LANE,
        unit=(w[0] >> 32) & LANE,
        stage=(w[0] >> 64) & LANE,
        attempt=(w[0] >> 96) & LANE,
        since=(w[0] >> 128) & LANE,
        pool=(w[0] >> 160) & LANE,
        size=(w[0] >> 192) & LANE,
        voters=w[0] >> 224,
        waiting=w[1] & LANE,
        digests=(w[1] >> 32) & LANE,
        top=(w[1] >> 64) & LANE,
        first=(w[1] >> 96) & LANE,
        second=(w[1] >> 128) & LANE,
        best=(w[1] >> 160) & LANE,
        most=(w[1] >> 192) & LANE,
        next=w[1] >> 224,
    )


@internal
def _set_unit(slot: uint256, u: Unit):
    self.units[slot] = [
        u.serial
        | u.unit << 32
        | u.stage << 64
        | u.attempt << 96
        | u.since << 128
        | u.pool << 160
        | u.size << 192
        | u.voters << 224,
        u.waiting
        | u.digests << 32
        | u.top << 64
        | u.first << 96
        | u.second << 128
        | u.best << 160
        | u.most << 192
        | u.next << 224,
    ]


@view
@internal
def _ballot(slot: uint256, node: uint256) -> Ballot:
    word: uint256 = self.ballots[slot][node]
    return Ballot(
        serial=word & LANE,
        lots=(word >> 32) & LANE,
        first=(word >> 64) & LANE,
        last=(word >> 96) & LANE,
        seats=(word >> 128) & LANE,
        state=(word >> 160) & LANE,
    )


@internal
def _set_ballot(slot: uint256, node: uint256, b: Ballot):
    self.ballots[slot][node] = (
        b.serial
        | b.lots << 32
        | b.first << 64
        | b.last << 96
        | b.seats << 128
        | b.state << 160
    )


@view
@internal
def _sum(key: bytes32) -> Sum:
    word: uint256 = self.sums[key]
    return Sum(
        votes=word & LANE,
        now=(word >> 32) & LANE,
        attempt=(word >> 64) & LANE,
        before=word >> 96,
    )
