# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
# @license Apache-2.0
"""
@title D2M store
@notice What the market's two pieces of code share: the terms, the storage and how it is packed, and
        the checks that actions begin with.
@dev Both pieces have this module's variables and no others, so a slot of storage means the same to
     both. The terms are part of either code; `terms_hash` is compared when the market is created.

     Money is in whole units below 2**63, in "lanes" of 64 bits: four amounts to the word. Basis
     points and seats have 16 bits, blocks and counts 32. A seat is the ledger's account number plus
     one, so that 0 is nobody. Digests are 32 bytes where the functional ledger has 32 bits.
"""

MAX_JOBS: constant(uint256) = 16
MAX_BUYERS: constant(uint256) = 256
MAX_SELLERS: constant(uint256) = 256
MAX_NODES: constant(uint256) = 1024
MAX_SEATS: constant(uint256) = MAX_BUYERS + MAX_SELLERS + MAX_NODES + 2
MAX_UNITS: constant(uint256) = 2**16
NODE_BITS: constant(uint256) = MAX_NODES // 256  # words of a set of nodes, one bit each
INT_MAX: constant(uint256) = 2**31 - 1
MONEY_MAX: constant(uint256) = 2**63 - 1
BPS: constant(uint256) = 10_000
MONEY: constant(uint256) = 2**64 - 1  # a lane
COUNT: constant(uint256) = 2**32 - 1  # half of one
SMALL: constant(uint256) = 2**16 - 1  # a quarter

# Phases, numbered as `Phase` of the ledger; sets of them are bit masks.
IDLE: constant(uint256) = 0
AUCTION: constant(uint256) = 1
MATCHED: constant(uint256) = 2
TRAINING: constant(uint256) = 3
VERIFY: constant(uint256) = 4
CHALLENGE: constant(uint256) = 5
DISPUTED: constant(uint256) = 6
SETTLED: constant(uint256) = 7
REFUNDED: constant(uint256) = 8
ABORTED: constant(uint256) = 9
FINISHED: constant(uint256) = 2**7 + 2**8 + 2**9
# In the same masks: where bids are open (sealed), the action is not known.
NOT_WHERE_OPEN: constant(uint256) = 2**16
NOT_WHERE_SEALED: constant(uint256) = 2**17

# Why an action is refused: `Reason` of the ledger, then what only a chain knows.
UNKNOWN_PARTY: constant(uint256) = 1
UNKNOWN_JOB: constant(uint256) = 2
NOT_AUTHORISED: constant(uint256) = 3
BANNED: constant(uint256) = 4
NOT_REGISTERED: constant(uint256) = 5
ALREADY_DONE: constant(uint256) = 6
WRONG_PHASE: constant(uint256) = 7
TOO_EARLY: constant(uint256) = 8
TOO_LATE: constant(uint256) = 9
BAD_VALUE: constant(uint256) = 10
WRONG_TAGS: constant(uint256) = 11
TAGS_TAKEN: constant(uint256) = 12
BID_TOO_LOW: constant(uint256) = 13
DEPOSIT_TOO_LOW: constant(uint256) = 14
NOT_ENOUGH_MONEY: constant(uint256) = 15
UNKNOWN_ACTION: constant(uint256) = 16
WRONG_FORMAT: constant(uint256) = 17
SUPPLY_LIMIT: constant(uint256) = 100


struct Rules:
    sealed: uint256
    second_price: uint256
    reserve: uint256
    min_increment_bps: uint256
    auction_window: uint256
    reveal_window: uint256
    unrevealed_bps: uint256
    seller_bps: uint256
    fee_bps: uint256
    seller_deposit: uint256
    min_sellers: uint256
    min_reputation_bps: uint256
    num_rounds: uint256
    node_stake: uint256
    by_stake: uint256
    min_nodes: uint256
    reward_cap: uint256
    slash_wrong_bps: uint256
    slash_silent_bps: uint256
    slash_harm_bps: uint256
    burn_bps: uint256
    bisection: uint256  # 1: the court decides disputes
    bond_bps: uint256
    challenge_window: uint256
    content_window: uint256
    timeout: uint256
    withdrawal_delay: uint256
    partial_payment: uint256
    refund_fee: uint256
    work_bps: uint256
    reputation_gain_bps: uint256
    reputation_floor_bps: uint256


struct Layout:
    buyers: uint256  # seats 1 .. buyers
    sellers: uint256
    nodes: uint256
    jobs: uint256
    unit: uint256  # wei of one unit
    treasury: address  # gets the fees, on the last seat
    votes: address  # whose decisions are booked
    court: address  # and whose rulings
    court_code: bytes32  # hash of its code, of which its terms are part
    programs: bytes32  # all that is trained here, where the court decides: see `Plan` of D2MJobs


struct Account:  # one word
    balance: uint256  # the lowest lane: adding to the word adds to the balance
    stake: uint256
    asked: uint256  # part of the stake asked back
    asked_at: uint256
    registered: bool
    banned: bool


struct Listing:  # one word per seller
    tags: uint256
    size: uint256
    ask: uint256  # least seller pool of a job for which it works
    reputation_bps: uint256
    max_tau_bps: uint256


struct Offer:  # one word per job and buyer, and three for the digests
    bid: uint256
    deposit: uint256
    tau_bps: uint256
    made: bool  # a bid or a seal, until the slot is cleared


struct Place:  # one word per job and seller
    locked: uint256
    weight: uint256
    matched: bool
    excluded: bool


struct Post:  # one word per job and node
    pledged: uint256
    held: uint256  # slashed from the pledge, not spent yet
    earned: uint256  # not paid yet
    offered: uint256  # no money: what it will pledge; of an earlier job, until it is written anew


struct Job:  # one word
    phase: uint256
    opened: bool  # the buyer has opened its metric
    frozen: bool  # what the nodes offer is fixed
    spoilt: bool  # a round was overturned
    verified: bool  # the verification has a result
    buyer: uint256  # seat
    tags: uint256
    since: uint256
    round: uint256
    tau_bps: uint256
    metric_bps: uint256
    base_bps: uint256
    disputer: uint256  # seat
    serial: uint256  # of the latest request for a unit; never falls
    disputed: uint256  # unit plus one, 0 is none


struct Purse:  # three words per job
    price: uint256
    seller_pool: uint256
    compute_pool: uint256
    fee_pool: uint256
    #
    bond: uint256
    compensation: uint256
    compute_paid: uint256
    seller_paid: uint256
    #
    fee_paid: uint256
    refunded: uint256
    forfeited: uint256  # what the guilty lost and nobody has got yet


R: immutable(Rules)
L: immutable(Layout)
SELLERS_AFTER: immutable(uint256)  # the last seat of a buyer
NODES_AFTER: immutable(uint256)  # the last seat of a seller
TREASURY: immutable(uint256)  # the last seat

supply: public(uint256)
burned: public(uint256)
seat_of: public(HashMap[address, uint256])
owner_of: public(HashMap[uint256, address])
owed: public(HashMap[address, uint256])  # to who lost an idle seat
commitment_of: public(HashMap[uint256, bytes32])  # by seat: digest of a seller's data
accounts: uint256[MAX_SEATS]  # by seat, packed Account
listings: uint256[MAX_SELLERS]  # packed Listing
jobs: uint256[MAX_JOBS]  # packed Job
purses: uint256[3][MAX_JOBS]  # packed Purse
seeds: bytes32[MAX_JOBS]  # what the salts of the bids came to
places: uint256[MAX_SELLERS][MAX_JOBS]  # packed Place
posts: uint256[MAX_NODES][MAX_JOBS]  # packed Post
offers: uint256[MAX_BUYERS][MAX_JOBS]  # packed Offer
seals: bytes32[MAX_BUYERS][MAX_JOBS]
models: bytes32[MAX_BUYERS][MAX_JOBS]
metrics: bytes32[MAX_BUYERS][MAX_JOBS]
results: bytes32[MAX_UNITS][MAX_JOBS]  # accepted digests; what is not booked yet is of earlier jobs
papers: bytes32[MAX_UNITS][MAX_JOBS]  # what the revealed digests of the same votes hash to
cases: bytes32[MAX_JOBS]  # name of the latest case of a job before the court
roots: bytes32[MAX_JOBS]  # of the claim that stands there by right: what is accepted
origins: HashMap[bytes32, bytes32]  # of a result that the court has put there: what the votes had


@deploy
def __init__(layout: Layout, rules: Rules):
    """
    @notice Fixes the layout and the rules for good.
    """
    assert layout.jobs >= 1 and layout.jobs <= MAX_JOBS, "LAYOUT"
    assert layout.sellers <= MAX_SELLERS and layout.nodes <= MAX_NODES, "LAYOUT"
    assert layout.buyers <= MAX_BUYERS, "LAYOUT"
    # From 2**27 wei on there is not as much ether as the supply may grow to.
    assert layout.unit >= 2**27 and layout.unit <= 2**128, "LAYOUT"
    assert layout.treasury != empty(address) and layout.votes != empty(address), "LAYOUT"
    if rules.bisection == 1:
        assert layout.court.is_contract and layout.programs != empty(bytes32), "LAYOUT"
        assert layout.court.codehash == layout.court_code, "LAYOUT"
    assert rules.reserve >= 1 and rules.num_rounds >= 1 and rules.node_stake >= 1, "RULES"
    assert rules.min_nodes >= 1 and rules.num_rounds < MAX_UNITS, "RULES"
    for money: uint256 in [
        rules.reserve, rules.seller_deposit, rules.node_stake, rules.reward_cap
    ]:
        assert money <= MONEY_MAX, "RULES"
    for number: uint256 in [
        rules.auction_window,
        rules.reveal_window,
        rules.min_sellers,
        rules.min_nodes,
        rules.challenge_window,
        rules.content_window,
        rules.timeout,
        rules.withdrawal_delay,
    ]:
        assert number <= INT_MAX, "RULES"
    for share: uint256 in [
        rules.min_increment_bps,
        rules.unrevealed_bps,
        rules.seller_bps,
        rules.fee_bps,
        rules.min_reputation_bps,
        rules.slash_wrong_bps,
        rules.slash_silent_bps,
        rules.slash_harm_bps,
        rules.burn_bps,
        rules.bond_bps,
        rules.work_bps,
        rules.reputation_gain_bps,
        rules.reputation_floor_bps,
    ]:
        assert share <= BPS, "RULES"
    for is_on: uint256 in [
        rules.sealed,
        rules.second_price,
        rules.by_stake,
        rules.bisection,
        rules.partial_payment,
        rules.refund_fee,
    ]:
        assert is_on <= 1, "RULES"
    assert rules.seller_bps + rules.fee_bps <= BPS, "RULES"
    assert rules.withdrawal_delay >= rules.timeout, "RULES"
    R = rules
    L = layout
    SELLERS_AFTER = layout.buyers
    NODES_AFTER = layout.buyers + layout.sellers
    TREASURY = layout.buyers + layout.sellers + layout.nodes + 1


@external
@view
def terms_hash() -> bytes32:
    """
    @notice Of all that is fixed: equal in two pieces of code that belong together.
    """
    return keccak256(abi_encode(L, R))


# Who may


@pure
@internal
def _check(holds: bool, reason: uint256):
    """
    @dev Every refusal of a running contract is made here: a text at each place would take a
         quarter of the code that Ethereum allows. Who called is on the stack (see the tests).
    """
    if not holds:
        raw_revert(abi_encode(reason, method_id=method_id("Refused(uint256)")))


@view
@internal
def _caller() -> uint256:
    seat: uint256 = self.seat_of[msg.sender]
    self._check(seat != 0, UNKNOWN_PARTY)
    return seat


@view
@internal
def _enter(job: int256, phases: uint256) -> (uint256, Job):
    """
    @dev The checks that actions on a job begin with: who has a seat may act, in the given phases.
    """
    self._caller()
    slot: uint256 = self._slot(job)
    return slot, self._in_phase(slot, phases)


@view
@internal
def _slot(job: int256) -> uint256:
    self._check(job >= 0 and job < convert(L.jobs, int256), UNKNOWN_JOB)
    return convert(job, uint256)


@view
@internal
def _in_phase(slot: uint256, phases: uint256) -> Job:
    j: Job = self._job(slot)
    self._check(((phases | ~FINISHED) >> j.phase) & 1 == 1, ALREADY_DONE)
    self._check((phases >> j.phase) & 1 == 1, WRONG_PHASE)
    return j


@view
@internal
def _is_active(seat: uint256) -> bool:
    """
    @dev Registered and not banned: the two highest bits of an account word.
    """
    return (self.accounts[seat] >> 224) == 1


# Money


@pure
@internal
def _part(amount: uint256, bps: uint256) -> uint256:
    return amount * bps // BPS


@internal
def _credit(seat: uint256, units: uint256):
    """
    @dev Cannot spill into the next lane: all units together are at most MONEY_MAX.
    """
    self.accounts[seat] += units


@internal
def _debit(seat: uint256, units: uint256):
    self._check(units <= self.accounts[seat] & MONEY, NOT_ENOUGH_MONEY)
    self.accounts[seat] -= units


# Packing


@view
@internal
def _account(seat: uint256) -> Account:
    word: uint256 = self.accounts[seat]
    return Account(
        balance=word & MONEY,
        stake=(word >> 64) & MONEY,
        asked=(word >> 128) & MONEY,
        asked_at=(word >> 192) & COUNT,
        registered=(word >> 224) & 1 == 1,
        banned=(word >> 225) & 1 == 1,
    )


@internal
def _set_account(seat: uint256, a: Account):
    self.accounts[seat] = (
        a.balance
        | a.stake << 64
        | a.asked << 128
        | a.asked_at << 192
        | convert(a.registered, uint256) << 224
        | convert(a.banned, uint256) << 225
    )


@view
@internal
def _listing(i: uint256) -> Listing:
    word: uint256 = self.listings[i]
    return Listing(
        tags=word & COUNT,
        size=(word >> 32) & COUNT,
        ask=(word >> 64) & MONEY,
        reputation_bps=(word >> 128) & SMALL,
        max_tau_bps=word >> 144,
    )


@internal
def _set_listing(i: uint256, l: Listing):
    self.listings[i] = (
        l.tags | l.size << 32 | l.ask << 64 | l.reputation_bps << 128 | l.max_tau_bps << 144
    )


@view
@internal
def _offer(slot: uint256, seat: uint256) -> Offer:
    word: uint256 = self.offers[slot][seat - 1]
    return Offer(
        bid=word & MONEY,
        deposit=(word >> 64) & MONEY,
        tau_bps=(word >> 128) & SMALL,
        made=word >> 144 == 1,
    )


@internal
def _set_offer(slot: uint256, seat: uint256, o: Offer):
    self.offers[slot][seat - 1] = (
        o.bid | o.deposit << 64 | o.tau_bps << 128 | convert(o.made, uint256) << 144
    )


@view
@internal
def _place(slot: uint256, i: uint256) -> Place:
    word: uint256 = self.places[slot][i]
    return Place(
        locked=word & MONEY,
        weight=(word >> 64) & COUNT,
        matched=(word >> 96) & 1 == 1,
        excluded=(word >> 97) & 1 == 1,
    )


@internal
def _set_place(slot: uint256, i: uint256, p: Place):
    self.places[slot][i] = (
        p.locked
        | p.weight << 64
        | convert(p.matched, uint256) << 96
        | convert(p.excluded, uint256) << 97
    )


@view
@internal
def _post(slot: uint256, n: uint256) -> Post:
    word: uint256 = self.posts[slot][n]
    return Post(
        pledged=word & MONEY,
        held=(word >> 64) & MONEY,
        earned=(word >> 128) & MONEY,
        offered=word >> 192,
    )


@internal
def _set_post(slot: uint256, n: uint256, p: Post):
    self.posts[slot][n] = p.pledged | p.held << 64 | p.earned << 128 | p.offered << 192


@view
@internal
def _job(slot: uint256) -> Job:
    w: uint256 = self.jobs[slot]
    return Job(
        phase=w & 255,
        opened=(w >> 8) & 1 == 1,
        frozen=(w >> 9) & 1 == 1,
        spoilt=(w >> 10) & 1 == 1,
        verified=(w >> 11) & 1 == 1,
        buyer=(w >> 16) & SMALL,
        tags=(w >> 32) & COUNT,
        since=(w >> 64) & COUNT,
        round=(w >> 96) & COUNT,
        tau_bps=(w >> 128) & SMALL,
        metric_bps=(w >> 144) & SMALL,
        base_bps=(w >> 160) & SMALL,
        disputer=(w >> 176) & SMALL,
        serial=(w >> 192) & COUNT,
        disputed=w >> 224,
    )


@internal
def _set_job(slot: uint256, j: Job):
    self.jobs[slot] = (
        j.phase
        | convert(j.opened, uint256) << 8
        | convert(j.frozen, uint256) << 9
        | convert(j.spoilt, uint256) << 10
        | convert(j.verified, uint256) << 11
        | j.buyer << 16
        | j.tags << 32
        | j.since << 64
        | j.round << 96
        | j.tau_bps << 128
        | j.metric_bps << 144
        | j.base_bps << 160
        | j.disputer << 176
        | j.serial << 192
        | j.disputed << 224
    )


@view
@internal
def _purse(slot: uint256) -> Purse:
    w: uint256[3] = self.purses[slot]
    return Purse(
        price=w[0] & MONEY,
        seller_pool=(w[0] >> 64) & MONEY,
        compute_pool=(w[0] >> 128) & MONEY,
        fee_pool=w[0] >> 192,
        bond=w[1] & MONEY,
        compensation=(w[1] >> 64) & MONEY,
        compute_paid=(w[1] >> 128) & MONEY,
        seller_paid=w[1] >> 192,
        fee_paid=w[2] & MONEY,
        refunded=(w[2] >> 64) & MONEY,
        forfeited=w[2] >> 128,
    )


@internal
def _set_purse(slot: uint256, p: Purse):
    self.purses[slot] = [
        p.price | p.seller_pool << 64 | p.compute_pool << 128 | p.fee_pool << 192,
        p.bond | p.compensation << 64 | p.compute_paid << 128 | p.seller_paid << 192,
        p.fee_paid | p.refunded << 64 | p.forfeited << 128,
    ]
