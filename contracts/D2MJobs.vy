# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
# pragma nonreentrancy on
# @license Apache-2.0
"""
@title D2M jobs
@notice The second piece of the market's code: what happens between the match and the end of a job.
        Nobody decides here. Rounds, the verification and disputes are booked by anybody, as the
        votes have decided them.
@dev D2MMarket runs this code on its own storage. Called directly it knows nobody, refuses all, and
     takes no ether. A set of nodes has one bit each; sets are gone through by rising number.
"""

from . import store

initializes: store

exports: store.terms_hash

MAX_CONTENT: constant(uint256) = 32 * (4 + store.MAX_SELLERS // 16 + 1)  # as in D2MVotes
MAX_DEPTH: constant(uint256) = 32  # of a claim's tree, as in D2MCourt
MAX_MEMORY: constant(uint256) = 20  # of the memory's tree
MAX_HEIGHT: constant(uint256) = 17  # of the tree of a job's programs
MAX_WORDS: constant(uint256) = 512  # of the memory, that hold a content
DECIDED: constant(uint256) = 3  # the first of the stages in which a unit is over
NOT_SAMPLED: constant(uint256) = 0
ACCEPTED: constant(uint256) = 1

# How sellers share a pot: by weight, or equally; all that are matched, or who did no harm.
BY_WEIGHT: constant(uint256) = 0
EQUALLY: constant(uint256) = 1
WITH_EXCLUDED: constant(uint256) = 2


struct Decision:  # as in D2MVotes
    serial: uint256
    stage: uint256
    since: uint256  # block of the last draw
    accepted: bytes32  # digest, or nothing
    is_open: bool  # its content is known
    papers: bytes32  # hash of who revealed which digest
    matched: uint256[store.NODE_BITS]
    wrong: uint256[store.NODE_BITS]
    silent: uint256[store.NODE_BITS]


struct Paper:
    node: uint256
    digest: bytes32


struct Sides:  # of a vote whose result is disputed
    guilty: uint256[store.NODE_BITS]  # revealed it
    right: uint256[store.NODE_BITS]  # revealed what was found since
    hashed: bytes32  # all papers so far


struct Plan:  # what a buyer's model is the SHA-256 of; without the start, the market's programs
    start: bytes32  # root of the memory before the first unit
    programs: bytes32  # root of the programs of all units, by rising unit
    depth: uint256  # of a claim's tree
    size: uint256  # depth of the memory's tree
    height: uint256  # of the tree of programs; 0: all units have the same


struct Ruling:  # as in D2MCourt
    closed: uint256  # block, 0: not yet
    root: bytes32  # that has won; nothing: no claim was left, or the case is open
    owner: address  # of the claim that has won
    proven: bool  # a step was judged by which what stood by right is wrong
    depth: uint256  # of a claim's tree
    size: uint256  # depth of the memory's tree


interface ICourt:
    def open_for(
        start: bytes32,
        program: bytes32,
        depth: uint256,
        size: uint256,
        label: bytes32,
        root: bytes32,
    ) -> bytes32: nonpayable
    def ruling(name: bytes32) -> Ruling: view


interface IVotes:
    def decision(job: uint256) -> Decision: view
    def content_of(job: uint256) -> Bytes[MAX_CONTENT]: view


event Booked:
    job: indexed(uint256)
    unit: uint256
    result: bytes32  # 0: none, and nobody is paid
    reward: uint256  # of each node that agreed
    slashed: uint256

event MetricOpened:
    job: indexed(uint256)
    content: bytes32

event Taken:
    job: indexed(uint256)
    metric_bps: uint256

event Disputed:
    job: indexed(uint256)
    unit: uint256
    bond: uint256

event Rejected:
    job: indexed(uint256)
    unit: uint256

event Overturned:
    job: indexed(uint256)
    unit: uint256
    lost: uint256  # by the guilty, with what they had earned

event SellerSlashed:
    job: indexed(uint256)
    who: indexed(address)
    units: uint256

event Finished:
    job: indexed(uint256)
    phase: uint256
    to_sellers: uint256
    to_treasury: uint256
    to_buyer: uint256

event Cleared:
    job: indexed(uint256)


@deploy
def __init__(layout: store.Layout, rules: store.Rules):
    """
    @notice The same layout and rules as those of the market.
    """
    store.__init__(layout, rules)


@external
@payable
def __default__():
    store._check(False, store.UNKNOWN_ACTION)


# What the votes have decided


@external
def book_round(job: int256):
    """
    @notice Anybody books what the vote on a round came to. Wrong and silent nodes are slashed, those
            that agreed are paid, the sellers rated; all money waits in the job.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.MATCHED | 1 << store.TRAINING)
    d: Decision = empty(Decision)
    content: Bytes[MAX_CONTENT] = b""
    d, content = self._judge(slot, j, False)
    self._book_work(slot, j.round, d)
    metric: uint256 = 0
    if d.accepted != empty(bytes32):
        metric = self._word(content, 0)
        self._rate(slot, content)
    j.round += 1
    j.phase = store.TRAINING
    is_reached: bool = j.opened and metric > 0 and metric >= j.tau_bps
    if j.round >= store.R.num_rounds or is_reached:
        j.phase = store.VERIFY
    j.since = block.number
    j.serial += 1
    store._set_job(slot, j)


@external
def book_verification(job: int256):
    """
    @notice Anybody books what the vote on the metric came to: with a result the challenge window
            opens, whether tau is reached or missed; without one it is voted on again.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.VERIFY)
    d: Decision = empty(Decision)
    content: Bytes[MAX_CONTENT] = b""
    d, content = self._judge(slot, j, True)
    self._book_work(slot, store.R.num_rounds, d)
    if d.accepted != empty(bytes32):
        j = self._report(slot, j, content)
        j.phase = store.CHALLENGE
        j.since = block.number
        j.verified = True
    j.serial += 1
    store._set_job(slot, j)


@external
def open_dispute(job: int256, unit: int256):
    """
    @notice Anybody stakes a bond against the result of a unit, which is then executed again.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.CHALLENGE)
    store._check(store.R.bisection == 0, store.WRONG_FORMAT)
    self._accuse(slot, j, self._disputable(slot, j, unit))


@external
def open_case(
    job: int256,
    unit: int256,
    plan: Plan,
    program: bytes32,
    branch: DynArray[bytes32, MAX_HEIGHT],
    accepted: Bytes[MAX_CONTENT],
    before: Bytes[MAX_CONTENT],
    start: bytes32,
    last: DynArray[bytes32, MAX_DEPTH],
):
    """
    @notice Anybody stakes a bond against the result of a unit, about which a case is opened at the
            court. What was accepted stands there as a claim, against which others can be made.
    @param plan Of which the buyer's model is the digest.
    @param program Root of the steps of the unit.
    @param branch Its siblings in the tree of programs.
    @param accepted Content of the unit.
    @param before Content that the latest earlier unit with a result had when this one was voted on;
           none, if there is no such unit.
    @param start Its last checkpoint, with which this unit begins.
    @param last Siblings of that in the tree of the earlier unit.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.CHALLENGE)
    store._check(store.R.bisection == 1, store.WRONG_FORMAT)
    at: uint256 = self._disputable(slot, j, unit)
    # The job that was agreed on, which does what is done in this market,
    is_agreed: bool = sha256(abi_encode(plan)) == store.models[slot][j.buyer - 1]
    done: bytes32 = sha256(abi_encode(plan.programs, plan.depth, plan.size, plan.height))
    is_agreed = is_agreed and done == store.L.programs
    is_agreed = is_agreed and len(branch) == plan.height and len(last) == plan.depth
    store._check(is_agreed and self._fold(program, at, branch) == plan.programs, store.BAD_VALUE)
    # what was accepted of this unit,
    store._check(keccak256(accepted) == store.results[slot][at], store.BAD_VALUE)
    root: bytes32 = extract32(accepted, 96 if at == store.R.num_rounds else 32)
    # and where it began.
    first: bytes32 = plan.start
    digest: bytes32 = self._result_before(slot, j, at)
    if digest != empty(bytes32):
        store._check(keccak256(before) == digest, store.BAD_VALUE)
        end: uint256 = (1 << plan.depth) - 1
        shown: bool = self._fold(start, end, last) == extract32(before, 32)
        store._check(shown, store.BAD_VALUE)
        first = start
    # The content has room in the memory, so that a claim can be booked.
    store._check(1 << plan.size >= 2 + store.L.sellers, store.BAD_VALUE)
    self._accuse(slot, j, at)
    store.roots[slot] = root
    label: bytes32 = keccak256(abi_encode(slot, j.serial + 1, at))
    store.cases[slot] = extcall ICourt(store.L.court).open_for(
        first, program, plan.depth, plan.size, label, root
    )


@view
@internal
def _result_before(slot: uint256, j: store.Job, unit: uint256) -> bytes32:
    """
    @dev The digest that the latest earlier round with a result had when a unit was voted on; later
         ones go on from it, though it may have fallen since.
    """
    rounds: uint256 = min(unit, j.round)
    for i: uint256 in range(rounds, bound=store.MAX_UNITS):
        digest: bytes32 = store.results[slot][rounds - 1 - i]
        if digest != empty(bytes32):
            origin: bytes32 = store.origins[self._origin(slot, rounds - 1 - i, digest)]
            return digest if origin == empty(bytes32) else origin
    return empty(bytes32)


@view
@internal
def _origin(slot: uint256, unit: uint256, digest: bytes32) -> bytes32:
    """
    @dev Key of a result of this job: its seed never comes back.
    """
    return keccak256(abi_encode(store.seeds[slot], slot, unit, digest))


@view
@internal
def _disputable(slot: uint256, j: store.Job, unit: int256) -> uint256:
    """
    @dev A unit with a result, in the challenge window.
    """
    store._check(block.number - j.since < store.R.challenge_window, store.TOO_LATE)
    rounds: int256 = convert(j.round, int256)
    is_booked: bool = unit == convert(store.R.num_rounds, int256) or (unit >= 0 and unit < rounds)
    store._check(is_booked, store.BAD_VALUE)
    disputed: uint256 = convert(unit, uint256)
    store._check(store.results[slot][disputed] != empty(bytes32), store.BAD_VALUE)
    return disputed


@internal
def _accuse(slot: uint256, before: store.Job, disputed: uint256):
    """
    @dev The bond is staked.
    """
    j: store.Job = before
    seat: uint256 = store.seat_of[msg.sender]
    price: uint256 = store.purses[slot][0] & store.MONEY
    bond: uint256 = max(store._part(price, store.R.bond_bps), 1)
    store._debit(seat, bond)
    store.purses[slot][1] += bond
    j.phase = store.DISPUTED
    j.since = block.number
    j.disputer = seat
    j.disputed = disputed + 1
    j.serial += 1
    store._set_job(slot, j)
    log Disputed(job=slot, unit=disputed, bond=bond)


@external
def book_dispute(job: int256, papers: DynArray[Paper, store.MAX_NODES]):
    """
    @notice Anybody books what the vote on a disputed unit came to: the loser pays, also the nodes
            that have executed again.
    @param papers Who revealed which digest when the unit was decided, from the events `Revealed` of
           the votes: set by set, by rising node.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.DISPUTED)
    store._check(store.R.bisection == 0, store.WRONG_FORMAT)
    d: Decision = empty(Decision)
    content: Bytes[MAX_CONTENT] = b""
    d, content = self._judge(slot, j, j.disputed - 1 == store.R.num_rounds)
    # Here, where they need no memory: it is dear by the square.
    before: bytes32 = store.results[slot][j.disputed - 1]
    sides: Sides = empty(Sides)
    for paper: Paper in papers:
        sides = self._sided(sides, paper, before, d.accepted)
    self._book_found(slot, j, d, content, sides, True, j.disputer)


@external
def book_case(
    job: int256,
    papers: DynArray[Paper, store.MAX_NODES],
    content: Bytes[MAX_CONTENT],
    siblings: DynArray[bytes32, MAX_MEMORY],
    last: DynArray[bytes32, MAX_DEPTH],
):
    """
    @notice Anybody books what the court has found about a disputed unit, by showing the content
            that goes with the claim that has won: it is what the first words of the memory after
            the last step say. What has fallen, and of which nobody has shown another content for
            `content_window` blocks, is booked with none.
    @param papers As of `book_dispute`.
    @param content Of the unit.
    @param siblings Of these words, taken together, in the tree of the memory.
    @param last Siblings of the last checkpoint in the tree of the claim.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.DISPUTED)
    store._check(store.R.bisection == 1, store.WRONG_FORMAT)
    f: Ruling = staticcall ICourt(store.L.court).ruling(store.cases[slot])
    store._check(f.closed != 0, store.TOO_EARLY)
    has_fallen: bool = f.root != store.roots[slot]
    d: Decision = empty(Decision)
    is_bare: bool = len(content) == 0
    store._check(not is_bare or has_fallen, store.BAD_VALUE)
    is_late: bool = block.number - f.closed >= store.R.content_window
    store._check(not is_bare or is_late, store.TOO_EARLY)
    if not is_bare:
        verifies: bool = j.disputed - 1 == store.R.num_rounds
        store._check(self._names(slot, j, content, f.root, verifies), store.BAD_VALUE)
        store._check(len(last) == f.depth and len(siblings) <= f.size, store.BAD_VALUE)
        words: bytes32 = self._root_of(content, f.size - len(siblings), verifies)
        leaf: bytes32 = self._fold(words, 0, siblings)
        store._check(self._fold(leaf, (1 << f.depth) - 1, last) == f.root, store.BAD_VALUE)
        d.accepted = keccak256(content)
    seat: uint256 = store.seat_of[f.owner]
    finder: uint256 = seat if seat != 0 and has_fallen else j.disputer
    before: bytes32 = store.results[slot][j.disputed - 1]
    sides: Sides = empty(Sides)
    for paper: Paper in papers:
        sides = self._sided(sides, paper, before, d.accepted)
    self._book_found(slot, j, d, content, sides, f.proven or not has_fallen, finder)


@view
@internal
def _names(
    slot: uint256, j: store.Job, content: Bytes[MAX_CONTENT], root: bytes32, verifies: bool
) -> bool:
    """
    @dev A content has the length of its kind and names a root, that of a verification also what the
         buyer has asked for.
    """
    number: uint256 = 2 + (store.L.sellers + 127) // 128
    if verifies:
        number = 4 + (store.L.sellers + 15) // 16 + (store.L.sellers + 255) // 256
    if root == empty(bytes32) or len(content) != 32 * number:
        return False
    if not verifies:
        return extract32(content, 32) == root
    same: bool = extract32(content, 32) == store.models[slot][j.buyer - 1]
    same = same and extract32(content, 64) == store.metrics[slot][j.buyer - 1]
    return same and extract32(content, 96) == root


@view
@internal
def _root_of(content: Bytes[MAX_CONTENT], depth: uint256, verifies: bool) -> bytes32:
    """
    @dev Root of the words that say what a content does: its metric, the first metric, a number per
         seller, and zeros. Every field has to be in its range, and what is none to be 0.
    """
    number: uint256 = 2 + store.L.sellers
    store._check(depth >= 1 and depth <= 9, store.BAD_VALUE)
    is_least: bool = number <= 1 << depth and number > 1 << (depth - 1)
    store._check(is_least, store.BAD_VALUE)
    nodes: uint256[MAX_WORDS] = empty(uint256[MAX_WORDS])
    head: uint256 = self._word(content, 0)
    nodes[0] = head & store.COUNT
    nodes[1] = head >> 32
    good: bool = nodes[0] <= store.BPS and nodes[1] <= store.BPS and (verifies or nodes[1] == 0)
    store._check(good, store.BAD_VALUE)
    bits: uint256 = 16 if verifies else 2
    first: uint256 = 4 if verifies else 2
    each: uint256 = 256 // bits
    harms: uint256 = first + (store.L.sellers + each - 1) // each
    word: uint256 = 0
    harm: uint256 = 0
    rest: uint256 = 0  # what is left of words behind their last seller
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        if i % each == 0:
            rest |= word
            word = self._word(content, first + i // each)
        value: uint256 = word & ((1 << bits) - 1)
        word >>= bits
        store._check(value <= (2**15 if verifies else 2), store.BAD_VALUE)
        if verifies:
            if i == 0:
                harm = self._word(content, harms)
            value |= (harm & 1) << 16
            harm >>= 1
        nodes[2 + i] = value
    store._check(rest | word | harm == 0, store.BAD_VALUE)
    for level: uint256 in range(depth, bound=9):
        for i: uint256 in range(1 << (depth - 1 - level), bound=MAX_WORDS // 2):
            pair: bytes32 = sha256(
                concat(convert(nodes[2 * i], bytes32), convert(nodes[2 * i + 1], bytes32))
            )
            nodes[i] = convert(pair, uint256)
    return convert(nodes[0], bytes32)


@pure
@internal
def _fold(leaf: bytes32, index: uint256, proof: DynArray[bytes32, MAX_DEPTH]) -> bytes32:
    """
    @dev The root that a leaf, its place and its siblings lead to, as in D2MCourt.
    """
    node: bytes32 = leaf
    at: uint256 = index
    for sibling: bytes32 in proof:
        node = sha256(concat(sibling, node)) if at & 1 == 1 else sha256(concat(node, sibling))
        at >>= 1
    return node


@pure
@internal
def _sided(before: Sides, paper: Paper, fell: bytes32, found: bytes32) -> Sides:
    """
    @dev The next paper of a list.
    """
    s: Sides = before
    s.hashed = keccak256(abi_encode(s.hashed, paper.node, paper.digest))
    if paper.digest == fell:
        s.guilty[paper.node // 256] |= 1 << paper.node % 256
    elif paper.digest == found:  # and so not nothing
        s.right[paper.node // 256] |= 1 << paper.node % 256
    return s


@internal
def _book_found(
    slot: uint256,
    before_it: store.Job,
    d: Decision,
    content: Bytes[MAX_CONTENT],
    sides: Sides,
    proven: bool,
    finder: uint256,
):
    """
    @dev What was found about the disputed unit is booked, by a fresh set or by the court. A vote may
         find nothing, and is asked again; the court finds at least that a result falls: whether that
         is proven, and on which seat who found it has its prize.
    """
    j: store.Job = before_it
    unit: uint256 = j.disputed - 1
    before: bytes32 = store.results[slot][unit]
    store._check(sides.hashed == store.papers[slot][unit], store.BAD_VALUE)
    j.serial += 1
    is_found: bool = d.accepted != empty(bytes32)
    if not is_found and store.R.bisection == 0:
        self._slash(slot, d)
    else:
        if d.accepted == before:
            self._reject(slot, d)
            log Rejected(job=slot, unit=unit)
        else:
            self._overturn(slot, j, d, sides.guilty, sides.right, proven, finder)
            if store.R.bisection == 1 and is_found:
                origin: bytes32 = store.origins[self._origin(slot, unit, before)]
                if origin == empty(bytes32):
                    origin = before
                store.origins[self._origin(slot, unit, d.accepted)] = origin
            if is_found:
                store.results[slot][unit] = d.accepted
            store.papers[slot][unit] = d.papers
            j.spoilt = j.spoilt or unit < store.R.num_rounds or not is_found
            if unit == store.R.num_rounds:  # without a content nothing of the old one is left
                zeros: Bytes[MAX_CONTENT] = abi_encode(empty(uint256[MAX_CONTENT // 32]))
                j = self._report(slot, j, content if is_found else zeros)
        j = self._undisputed(j)
    store._set_job(slot, j)


@view
@internal
def _undisputed(before: store.Job) -> store.Job:
    """
    @dev The challenge window begins again.
    """
    j: store.Job = before
    j.phase = store.CHALLENGE
    j.since = block.number
    j.disputer = 0
    j.disputed = 0
    return j


@view
@internal
def _judge(
    slot: uint256, j: store.Job, is_verification: bool
) -> (Decision, Bytes[MAX_CONTENT]):
    """
    @dev The decision on the unit that the job waits for, with its content. A result that nobody
         opens in time counts for nothing, and so does a verification of something else than the
         buyer asked for: then those who agreed on it were wrong. Before the court a result that
         names no work is none, and nobody is right or wrong.
    """
    d: Decision = staticcall IVotes(store.L.votes).decision(slot)
    store._check(d.serial == j.serial and d.stage >= DECIDED, store.TOO_EARLY)
    content: Bytes[MAX_CONTENT] = b""
    if d.accepted == empty(bytes32):
        return d, content
    is_void: bool = not d.is_open
    if d.is_open:
        content = staticcall IVotes(store.L.votes).content_of(slot)
        if is_verification:
            model: bytes32 = store.models[slot][j.buyer - 1]
            metric: bytes32 = store.metrics[slot][j.buyer - 1]
            is_void = extract32(content, 32) != model or extract32(content, 64) != metric
        work: bytes32 = extract32(content, 96 if is_verification else 32)
        if store.R.bisection == 1 and work == empty(bytes32) and not is_void:
            d.accepted = empty(bytes32)
            d.matched = empty(uint256[store.NODE_BITS])
            d.wrong = empty(uint256[store.NODE_BITS])
    else:
        waited: uint256 = block.number - d.since
        store._check(waited >= store.R.content_window, store.TOO_EARLY)
    if is_void:
        d.accepted = empty(bytes32)
        d.wrong = d.matched
        d.matched = empty(uint256[store.NODE_BITS])
    return d, content


@internal
def _book_work(slot: uint256, unit: uint256, d: Decision):
    """
    @dev Slashes, rewards, and what is needed to dispute the unit.
    """
    workers: uint256[store.NODE_BITS] = empty(uint256[store.NODE_BITS])
    number: uint256 = 0
    workers, number = self._workers(slot, d.matched)
    slashed: uint256 = self._slash(slot, d)
    money: uint256 = self._round_money(store.purses[slot][0] & store.MONEY)
    reward: uint256 = min(store.R.reward_cap, money // max(number, 1))
    if number > 0:
        self._add(slot, workers, reward << 128)
        store.purses[slot][0] -= reward * number << 128
    store.results[slot][unit] = d.accepted
    store.papers[slot][unit] = d.papers
    log Booked(job=slot, unit=unit, result=d.accepted, reward=reward, slashed=slashed)


@internal
def _reject(slot: uint256, d: Decision):
    """
    @dev The bond pays who executed again, at most what the price holds for a unit; the rest of it is
         burned: paid to the accused it would be free, paid to anybody else it would be a prize.
    """
    workers: uint256[store.NODE_BITS] = empty(uint256[store.NODE_BITS])
    number: uint256 = 0
    workers, number = self._workers(slot, d.matched)
    self._slash(slot, d)
    p: store.Purse = store._purse(slot)
    pot: uint256 = min(self._round_money(p.price), p.bond)
    reward: uint256 = min(store.R.reward_cap, pot // max(number, 1))
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        if self._has(workers, n):
            store._credit(store.NODES_AFTER + 1 + n, reward)
    store.burned += p.bond - reward * number
    p.bond = 0
    store._set_purse(slot, p)


@internal
def _overturn(
    slot: uint256,
    j: store.Job,
    decision: Decision,
    guilty: uint256[store.NODE_BITS],
    right: uint256[store.NODE_BITS],
    proven: bool,
    finder: uint256,
):
    """
    @dev From what the guilty had pledged and earned, and what earlier disputes have left of it: who
         was right gets the rewards that it missed, who executed again is paid, who found it gets a
         prize of at most the bond; the rest waits for the sellers of a spoilt model and the buyer.
         The guilty are banned, unless nobody has proven anything.
    """
    d: Decision = decision
    for w: uint256 in range(store.NODE_BITS):
        d.matched[w] &= ~guilty[w]
        d.wrong[w] &= ~guilty[w]
        d.silent[w] &= ~guilty[w]
    lost: uint256 = 0
    left: uint256 = 0
    number: uint256 = 0  # of those who were right
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        if not (self._has(guilty, n) or self._has(right, n)):
            continue
        post: store.Post = store._post(slot, n)
        share: uint256 = store._part(post.pledged + post.held, store.R.slash_wrong_bps)
        if self._has(guilty, n):
            share = min(post.pledged, share)
            post.pledged -= share
            lost += share
            left += share + post.earned
            post.earned = 0
        else:
            share = min(post.held, share)
            post.held -= share
            post.pledged += share
            number += convert(not self._is_banned(n), uint256)
        store._set_post(slot, n, post)
    workers: uint256[store.NODE_BITS] = empty(uint256[store.NODE_BITS])
    num_workers: uint256 = 0
    workers, num_workers = self._workers(slot, d.matched)
    self._slash(slot, d)
    log Overturned(job=slot, unit=j.disputed - 1, lost=left)
    p: store.Purse = store._purse(slot)
    left += p.forfeited
    money: uint256 = self._round_money(p.price)
    pot: uint256 = min(min(store.R.reward_cap, money // max(number, 1)) * number, left)
    left -= pot
    given: uint256 = 0
    shares: uint256 = 0
    reward: uint256 = min(store.R.reward_cap, min(money, left) // max(num_workers, 1))
    left -= reward * num_workers
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        if self._has(guilty, n):
            if proven:
                store.accounts[store.NODES_AFTER + 1 + n] |= 1 << 225
            continue
        units: uint256 = 0
        if self._has(right, n) and not self._is_banned(n):
            shares += 1
            units = pot * shares // number - given
            given += units
        if self._has(workers, n):
            units += reward
        if units > 0:
            store.posts[slot][n] += units << 128
    prize: uint256 = min(left, p.bond)
    store._credit(j.disputer, p.bond)
    store._credit(finder, prize)
    p.bond = 0
    p.compute_paid += prize
    p.compensation += lost
    p.forfeited = left - prize
    store._set_purse(slot, p)


@internal
def _report(slot: uint256, before: store.Job, content: Bytes[MAX_CONTENT]) -> store.Job:
    """
    @dev Books the metric, the payment weights and the evidence of harm.
    """
    j: store.Job = before
    metrics: uint256 = self._word(content, 0)
    j.metric_bps = metrics & store.COUNT
    j.base_bps = metrics >> 32
    harm: uint256 = self._word(content, 4 + (store.L.sellers + 15) // 16)
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        place: store.Place = store._place(slot, i)
        if place.matched:
            weights: uint256 = self._word(content, 4 + i // 16)
            place.weight = (weights >> 16 * (i % 16)) & store.SMALL
            place.excluded = (harm >> i) & 1 == 1
            store._set_place(slot, i, place)
    return j


@internal
def _rate(slot: uint256, content: Bytes[MAX_CONTENT]):
    """
    @dev What the defence said of the matched sellers goes into their reputation.
    """
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        verdict: uint256 = (self._word(content, 2 + i // 128) >> 2 * (i % 128)) & 3
        if verdict != NOT_SAMPLED and store._place(slot, i).matched:
            listing: store.Listing = store._listing(i)
            kept: uint256 = store.BPS - store.R.reputation_gain_bps
            moved: uint256 = store._part(listing.reputation_bps, kept)
            if verdict == ACCEPTED:
                moved += store.R.reputation_gain_bps
            listing.reputation_bps = max(moved, store.R.reputation_floor_bps)
            store._set_listing(i, listing)


# The buyer


@external
def open_metric(job: int256, content: bytes32, salt: bytes32):
    """
    @notice The buyer opens the examples that its model is judged by. Without that it pays as if tau
            were reached.
    @param content Of which its bid's metric was the digest, keccak256(abi.encode(content, salt)).
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = self._owner(job, 1 << store.MATCHED | 1 << store.TRAINING | 1 << store.VERIFY)
    store._check(not j.opened, store.ALREADY_DONE)
    opened: bytes32 = keccak256(abi_encode(content, salt))
    store._check(store.metrics[slot][j.buyer - 1] == opened, store.BAD_VALUE)
    j.opened = True
    j.since = block.number
    store._set_job(slot, j)
    log MetricOpened(job=slot, content=content)


@external
def take(job: int256):
    """
    @notice The buyer takes a model that misses its threshold at the full price all the same: the
            threshold becomes the metric that is booked. Not one that is spoilt.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = self._owner(job, 1 << store.CHALLENGE)
    store._check(j.metric_bps < j.tau_bps and not j.spoilt, store.ALREADY_DONE)
    store._check(block.number - j.since < store.R.challenge_window, store.TOO_LATE)
    j.tau_bps = j.metric_bps
    store._set_job(slot, j)
    log Taken(job=slot, metric_bps=j.metric_bps)


@view
@internal
def _owner(job: int256, phases: uint256) -> (uint256, store.Job):
    """
    @dev The checks of what only the buyer of a job may do.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, phases)
    store._check(store.seat_of[msg.sender] == j.buyer, store.NOT_AUTHORISED)
    return slot, j


# The end of a job


@external
def settle(job: int256):
    """
    @notice Anybody settles an undisputed job after the challenge window, once: all are paid, or,
            with a metric below tau, the buyer is refunded, less the pay for accepted work, a
            partial payment and the fee, if the rules say so. With a spoilt model it is refunded.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.CHALLENGE)
    store._check(block.number - j.since >= store.R.challenge_window, store.TOO_EARLY)
    p: store.Purse = store._purse(slot)
    if j.spoilt:
        self._finish(slot, j, store.REFUNDED, self._pay_for_spoilt(slot, p), 0)
        return
    self._punish(slot, j.buyer)
    if j.metric_bps >= j.tau_bps:
        paid: uint256 = self._pay_sellers(slot, p.seller_pool, BY_WEIGHT)
        self._finish(slot, j, store.SETTLED, paid, p.fee_pool)
        return
    due: uint256 = store._part(p.seller_pool, store.R.work_bps)
    if store.R.partial_payment == 1 and j.metric_bps > j.base_bps:
        way: uint256 = j.metric_bps - j.base_bps
        due = max(due, p.seller_pool * way // (j.tau_bps - j.base_bps))
    fee: uint256 = 0 if store.R.refund_fee == 1 else p.fee_pool
    self._finish(slot, j, store.REFUNDED, self._pay_sellers(slot, due, BY_WEIGHT), fee)


@external
def time_out(job: int256):
    """
    @notice Anybody ends a job that made no progress for long: the buyer is refunded, unless all
            rounds are done and it has not opened its metric: then it pays as if tau were reached.
            Before the court what nobody has disproved stands, and the disputer's bond is burned;
            what has fallen there is booked.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    waiting: uint256 = 1 << store.MATCHED | 1 << store.TRAINING | 1 << store.VERIFY
    slot, j = store._enter(job, waiting | 1 << store.DISPUTED)
    store._check(block.number - j.since >= store.R.timeout, store.TOO_EARLY)
    if j.phase == store.DISPUTED and store.R.bisection == 1:
        f: Ruling = staticcall ICourt(store.L.court).ruling(store.cases[slot])
        is_heard: bool = f.closed != 0 and block.number - f.closed >= store.R.content_window
        store._check(is_heard and f.root == store.roots[slot], store.TOO_EARLY)
        self._reject(slot, empty(Decision))
        log Rejected(job=slot, unit=j.disputed - 1)
        j.serial += 1
        store._set_job(slot, self._undisputed(j))
        return
    p: store.Purse = store._purse(slot)
    if j.phase == store.VERIFY and not j.opened:
        paid: uint256 = self._pay_sellers(slot, p.seller_pool, EQUALLY)
        self._finish(slot, j, store.SETTLED, paid, p.fee_pool)
        return
    for_spoilt: uint256 = 0
    if j.spoilt:
        for_spoilt = self._pay_for_spoilt(slot, p)
    self._finish(slot, j, store.REFUNDED, for_spoilt, 0)


@external
def reset_job(job: int256):
    """
    @notice Anybody clears a finished slot for the next auction; accounts and registry stay. Money
            and results of the job are overwritten by the next one.
    """
    store._caller()
    slot: uint256 = store._slot(job)
    j: store.Job = store._job(slot)
    store._check((store.FINISHED >> j.phase) & 1 == 1, store.WRONG_PHASE)
    cleared: store.Job = empty(store.Job)
    cleared.serial = j.serial
    store._set_job(slot, cleared)
    if store.R.bisection == 1:
        store.cases[slot] = empty(bytes32)
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        store.places[slot][i] = 0
    for u: uint256 in range(store.L.buyers, bound=store.MAX_BUYERS):
        if store.offers[slot][u] != 0:
            store.offers[slot][u] = 0
            store.seals[slot][u] = empty(bytes32)
            store.models[slot][u] = empty(bytes32)
            store.metrics[slot][u] = empty(bytes32)
    log Cleared(job=slot)


@internal
def _punish(slot: uint256, buyer: uint256):
    """
    @dev Sellers against whom there is evidence of harm lose part of their deposit: part of that is
         burned, the buyer gets the rest. They are barred.
    """
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        place: store.Place = store._place(slot, i)
        if place.excluded:
            seat: uint256 = store.SELLERS_AFTER + 1 + i
            units: uint256 = store._part(place.locked, store.R.slash_harm_bps)
            place.locked -= units
            store._set_place(slot, i, place)
            store.accounts[seat] |= 1 << 225
            store._credit(buyer, self._burn(units))
            log SellerSlashed(job=slot, who=store.owner_of[seat], units=units)


@internal
def _pay_for_spoilt(slot: uint256, p: store.Purse) -> uint256:
    """
    @dev What the guilty have lost pays the sellers, who worked on a model that others spoilt.
    """
    pot: uint256 = min(p.forfeited, p.seller_pool)
    if self._shares(slot, WITH_EXCLUDED) > 0:
        return self._pay_sellers(slot, pot, WITH_EXCLUDED)
    return self._pay_sellers(slot, pot, WITH_EXCLUDED | EQUALLY)


@internal
def _pay_sellers(slot: uint256, pot: uint256, how: uint256) -> uint256:
    """
    @dev Shares a pot among the sellers. The parts add up: differences of floored cumulative shares.
         Returns what is paid: all or, if nobody has a share, nothing.
    """
    total: uint256 = self._shares(slot, how)
    paid: uint256 = 0
    shares: uint256 = 0
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        share: uint256 = self._share(slot, i, how)
        if share > 0:
            shares += share
            pay: uint256 = pot * shares // total - paid
            paid += pay
            store._credit(store.SELLERS_AFTER + 1 + i, pay)
    return paid


@view
@internal
def _shares(slot: uint256, how: uint256) -> uint256:
    total: uint256 = 0
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        total += self._share(slot, i, how)
    return total


@view
@internal
def _share(slot: uint256, i: uint256, how: uint256) -> uint256:
    place: store.Place = store._place(slot, i)
    if not place.matched or (place.excluded and how & WITH_EXCLUDED == 0):
        return 0
    return 1 if how & EQUALLY != 0 else place.weight


@internal
def _finish(slot: uint256, finished: store.Job, phase: uint256, paid: uint256, fee: uint256):
    """
    @dev Closes a job, whose sellers have been `paid`; nothing stays behind. The buyer gets what is
         left, also of what the guilty have lost, but for the part that is burned.
    """
    j: store.Job = finished
    p: store.Purse = store._purse(slot)
    kept: uint256 = 0
    earned: uint256 = 0
    to_nodes: uint256 = 0
    kept, earned, to_nodes = self._release(slot)
    rest: uint256 = p.forfeited
    if j.spoilt:
        rest -= paid
    fire: uint256 = min(rest, store._part(p.compensation, store.R.burn_bps))
    if fire > 0:
        store.burned += fire
    p.refunded = p.seller_pool + p.fee_pool + p.compute_pool + p.forfeited + earned + kept
    p.refunded -= paid + fee + to_nodes + fire
    p.compensation = p.compensation + kept - fire
    p.compute_paid += to_nodes
    store._credit(store.TREASURY, fee)
    store._credit(j.buyer, p.refunded)
    if p.bond > 0:
        store._credit(j.disputer, p.bond)
    p.seller_pool = 0
    p.compute_pool = 0
    p.fee_pool = 0
    p.bond = 0
    p.forfeited = 0
    p.seller_paid = paid
    p.fee_paid = fee
    store._set_purse(slot, p)
    j.phase = phase
    j.since = block.number
    store._set_job(slot, j)
    log Finished(
        job=slot, phase=phase, to_sellers=paid, to_treasury=fee, to_buyer=p.refunded
    )


@internal
def _release(slot: uint256) -> (uint256, uint256, uint256):
    """
    @dev Deposits and pledges go back and nodes are paid; of what is held part is burned, the rest
         shared among the nodes by what they earned, at most as much again: more is burned, too.
         Returns what was kept of it, earned, and paid.
    """
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        place: store.Place = store._place(slot, i)
        if place.locked > 0:
            store.accounts[store.SELLERS_AFTER + 1 + i] += place.locked << 64
            place.locked = 0
            store._set_place(slot, i, place)
    held: uint256 = 0
    earned: uint256 = 0
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        post: store.Post = store._post(slot, n)
        held += post.held
        earned += post.earned
    kept: uint256 = min(held - store._part(held, store.R.burn_bps), earned)
    if held > kept:
        store.burned += held - kept
    paid: uint256 = 0
    shares: uint256 = 0
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        post: store.Post = store._post(slot, n)
        shares += post.earned
        pay: uint256 = kept * shares // max(earned, 1) + shares - paid
        paid += pay
        back: uint256 = pay + (post.pledged << 64)
        if back > 0:
            store.accounts[store.NODES_AFTER + 1 + n] += back
        if back + post.held > 0:
            store.posts[slot][n] = post.offered << 192
    return kept, earned, paid


@internal
def _burn(slashed: uint256) -> uint256:
    """
    @dev Burns its share (the units stay in the contract for good) and returns what is left.
    """
    units: uint256 = store._part(slashed, store.R.burn_bps)
    if units > 0:
        store.burned += units
    return slashed - units


# Sets of nodes


@pure
@internal
def _has(nodes: uint256[store.NODE_BITS], n: uint256) -> bool:
    return (nodes[n // 256] >> n % 256) & 1 == 1


@view
@internal
def _is_banned(n: uint256) -> bool:
    return (store.accounts[store.NODES_AFTER + 1 + n] >> 225) & 1 == 1


@view
@internal
def _workers(
    slot: uint256, nodes: uint256[store.NODE_BITS]
) -> (uint256[store.NODE_BITS], uint256):
    """
    @dev Those that have something to lose in the job and are not banned, and their number.
    """
    found: uint256[store.NODE_BITS] = empty(uint256[store.NODE_BITS])
    number: uint256 = 0
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        if self._has(nodes, n):
            if store.posts[slot][n] & store.MONEY > 0 and not self._is_banned(n):
                found[n // 256] |= 1 << n % 256
                number += 1
    return found, number


@internal
def _add(slot: uint256, nodes: uint256[store.NODE_BITS], amount: uint256):
    """
    @dev Adds to the words of posts: an amount, in its lane.
    """
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        if self._has(nodes, n):
            store.posts[slot][n] += amount


@internal
def _slash(slot: uint256, d: Decision) -> uint256:
    """
    @dev Of a pledge as it was made, a share for a wrong result and one for silence; it waits in the
         job.
    """
    slashed: uint256 = 0
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        bps: uint256 = 0
        if self._has(d.wrong, n):
            bps = store.R.slash_wrong_bps
        elif self._has(d.silent, n):
            bps = store.R.slash_silent_bps
        else:
            continue
        post: store.Post = store._post(slot, n)
        units: uint256 = min(post.pledged, store._part(post.pledged + post.held, bps))
        slashed += units
        post.pledged -= units
        post.held += units
        store._set_post(slot, n, post)
    return slashed


@view
@internal
def _round_money(price: uint256) -> uint256:
    """
    @dev What the price holds for the compute of one unit of work: rounds, and the verification.
    """
    others: uint256 = store._part(price, store.R.seller_bps) + store._part(price, store.R.fee_bps)
    return (price - others) // (store.R.num_rounds + 1)


@pure
@internal
def _word(content: Bytes[MAX_CONTENT], i: uint256) -> uint256:
    return convert(extract32(content, 32 * i), uint256)
