# pragma version 0.4.3
# pragma optimize codesize
# pragma evm-version prague
# pragma nonreentrancy on
# @license Apache-2.0
"""
@title D2M market
@notice The ledger of d2m_jax (package d2m_jax.ledger) as a contract: accounts, registry, auctions,
        escrow, deposits, disputes, settlement. The same checks in the same order: a refusal reverts
        with the name of the receipt (`Reason`) that the functional ledger gives.
@dev Who acts is who calls. Ether becomes integer units at `pay_in` and leaves at `pay_out`, to the
     caller only (pull payments); in between all money moves inside the contract. Every loop runs
     over seats, whose number is fixed at deployment and which only the arbiter hands out.

     Amounts are whole units below 2**31, so eight of them fit in one word: a "lane" is 32 bits.
     A seat is the ledger's account number plus one, so that 0 is nobody. Digests (of data, bids,
     models, metrics) are 32 bytes where the functional ledger has 32 bits.
"""

MAX_JOBS: constant(uint256) = 16
MAX_BUYERS: constant(uint256) = 256
MAX_SELLERS: constant(uint256) = 256
MAX_NODES: constant(uint256) = 1024
MAX_SEATS: constant(uint256) = MAX_BUYERS + MAX_SELLERS + MAX_NODES + 2
INT_MAX: constant(uint256) = 2**31 - 1
BPS: constant(uint256) = 10_000
MAX_WEIGHT: constant(int256) = 2**15
FIRST_REPUTATION: constant(uint256) = 5_000
LANE: constant(uint256) = 2**32 - 1

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

# What a node did (`Outcome`) and what the defence said of a seller (`Verdict`).
NOT_DRAWN: constant(int256) = 0
AGREED: constant(int256) = 1
WRONG: constant(int256) = 2
SILENT: constant(int256) = 3
GUILTY: constant(int256) = 4  # only of a dispute (`Finding`): wrong in what is disputed
OUTVOTED: constant(int256) = 5  # and right in it, but slashed
NOT_SAMPLED: constant(int256) = 0
ACCEPTED: constant(int256) = 1
FLAGGED: constant(int256) = 2


# What the arbiter says of a dispute (`Ruling`).
REJECTED: constant(int256) = 0
UPHELD: constant(int256) = 1
REPORT_AGAIN: constant(int256) = 2


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
    reward_cap: uint256
    slash_wrong_bps: uint256
    slash_silent_bps: uint256
    slash_harm_bps: uint256
    burn_bps: uint256
    bond_bps: uint256
    challenge_window: uint256
    timeout: uint256
    withdrawal_delay: uint256
    partial_payment: uint256
    refund_fee: uint256
    work_bps: uint256
    reputation_gain_bps: uint256
    reputation_floor_bps: uint256


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
    reputation_bps: uint256
    ask: uint256  # least seller pool of a job for which it works
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
    taken: uint256  # of its pledge, so far
    held: uint256  # slashed in a round, not spent yet
    earned: uint256  # not paid yet
    missed: uint256  # no money: what it would have earned in rounds in which it was wrong


struct Job:  # three words
    phase: uint256
    since: uint256
    tags: uint256
    buyer: uint256  # seat
    tau_bps: uint256
    metric_bps: uint256
    base_bps: uint256
    round: uint256
    #
    price: uint256
    seller_pool: uint256
    compute_pool: uint256
    fee_pool: uint256
    bond: uint256
    rated: uint256  # the round that was rated last
    opened: uint256  # the buyer has opened its metric
    pledge: uint256  # of every node that has pledged itself
    #
    disputer: uint256  # seat
    accused: uint256  # seat
    disputed_round: uint256  # plus one, 0 is none
    compensation: uint256
    compute_paid: uint256
    seller_paid: uint256
    fee_paid: uint256
    refunded: uint256


event Admitted:
    who: indexed(address)
    account: uint256

event PaidIn:
    who: indexed(address)
    units: uint256

event PaidOut:
    who: indexed(address)
    units: uint256

event Staked:
    who: indexed(address)
    units: uint256

event WithdrawalAsked:
    who: indexed(address)
    units: uint256

event Withdrawn:
    who: indexed(address)
    units: uint256

event Barred:
    who: indexed(address)
    banned: bool

event AskSet:
    who: indexed(address)
    units: uint256
    max_tau_bps: uint256

event Bid:
    job: indexed(uint256)
    buyer: indexed(address)
    tags: uint256
    units: uint256
    tau_bps: uint256

event Sealed:
    job: indexed(uint256)
    buyer: indexed(address)
    tags: uint256
    deposit: uint256

event Revealed:
    job: indexed(uint256)
    buyer: indexed(address)
    units: uint256
    tau_bps: uint256

event AuctionClosed:
    job: indexed(uint256)
    buyer: indexed(address)
    price: uint256
    sellers: uint256

event RoundSettled:
    job: indexed(uint256)
    round: uint256
    paid: uint256
    slashed: uint256

event Rated:
    job: indexed(uint256)

event SellerSlashed:
    job: indexed(uint256)
    who: indexed(address)
    units: uint256

event MetricOpened:
    job: indexed(uint256)
    content: bytes32

event Taken:
    job: indexed(uint256)
    metric_bps: uint256

event MetricReported:
    job: indexed(uint256)
    metric_bps: uint256

event Disputed:
    job: indexed(uint256)
    accused: indexed(address)
    bond: uint256

event Resolved:
    job: indexed(uint256)
    ruling: int256
    lost: uint256

event Finished:
    job: indexed(uint256)
    phase: uint256
    to_sellers: uint256
    to_arbiter: uint256
    to_buyer: uint256

event Cleared:
    job: indexed(uint256)


R: immutable(Rules)
UNIT: immutable(uint256)  # wei of one unit
GENESIS: immutable(uint256)  # block 0 of the ledger
BUYERS: immutable(uint256)  # seats 1 .. BUYERS
SELLERS: immutable(uint256)
NODES: immutable(uint256)
JOBS: immutable(uint256)
NODES_AFTER: immutable(uint256)  # the last seat of a seller
ARBITER: immutable(uint256)  # the last seat

supply: public(uint256)
burned: public(uint256)
seat_of: public(HashMap[address, uint256])
owner_of: public(HashMap[uint256, address])
commitment_of: public(HashMap[uint256, bytes32])  # by seat: digest of a seller's data
accounts: uint256[MAX_SEATS]  # by seat, packed Account
listings: uint256[MAX_SELLERS]  # packed Listing
jobs: uint256[3][MAX_JOBS]  # packed Job
places: uint256[MAX_SELLERS][MAX_JOBS]  # packed Place
pledges: uint256[4][MAX_JOBS]  # one bit per node: it has pledged itself to the job
posts: uint256[MAX_NODES][MAX_JOBS]  # packed Post
offers: uint256[MAX_BUYERS][MAX_JOBS]  # packed Offer
seals: bytes32[MAX_BUYERS][MAX_JOBS]
models: bytes32[MAX_BUYERS][MAX_JOBS]
metrics: bytes32[MAX_BUYERS][MAX_JOBS]


@deploy
def __init__(
    num_buyers: uint256,
    num_sellers: uint256,
    num_nodes: uint256,
    num_jobs: uint256,
    unit: uint256,
    arbiter: address,
    rules: Rules,
):
    """
    @notice Fixes the layout, the unit and the rules for good.
    @param unit Wei of one unit; all units together stay below 2**31.
    @param arbiter Who admits, books the verdicts of CONE and earns the fees.
    """
    assert num_jobs >= 1 and num_jobs <= MAX_JOBS, "LAYOUT"
    assert num_sellers <= MAX_SELLERS and num_nodes <= MAX_NODES, "LAYOUT"
    assert num_buyers <= MAX_BUYERS, "LAYOUT"
    assert unit >= 1 and unit <= 2**128 and arbiter != empty(address), "LAYOUT"
    assert rules.reserve >= 1 and rules.num_rounds >= 1 and rules.node_stake >= 1, "RULES"
    for number: uint256 in [
        rules.reserve,
        rules.auction_window,
        rules.reveal_window,
        rules.seller_deposit,
        rules.min_sellers,
        rules.num_rounds,
        rules.node_stake,
        rules.reward_cap,
        rules.challenge_window,
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
        rules.sealed, rules.second_price, rules.partial_payment, rules.refund_fee
    ]:
        assert is_on <= 1, "RULES"
    assert rules.seller_bps + rules.fee_bps <= BPS, "RULES"
    assert rules.withdrawal_delay >= rules.timeout, "RULES"
    R = rules
    UNIT = unit
    GENESIS = block.number
    BUYERS = num_buyers
    SELLERS = num_sellers
    NODES = num_nodes
    JOBS = num_jobs
    NODES_AFTER = num_buyers + num_sellers
    ARBITER = num_buyers + num_sellers + num_nodes + 1
    self._seat(arbiter, ARBITER)


@external
@payable
def __default__():
    self._check(False, UNKNOWN_ACTION)


# Money in and out


@external
def admit(who: address, account: int256):
    """
    @notice The arbiter gives an account of the layout (buyers, sellers, nodes) to an address, once.
    @dev Seats are bounded because a round pays all nodes in one transaction; were they free for
         all, an attacker could take every one.
    """
    self._check(self._caller() == ARBITER, NOT_AUTHORISED)
    self._check(account >= 0 and account < convert(ARBITER, int256) - 1, UNKNOWN_PARTY)
    seat: uint256 = convert(account, uint256) + 1
    self._check(who != empty(address), BAD_VALUE)
    self._check(self.seat_of[who] == 0 and self.owner_of[seat] == empty(address), ALREADY_DONE)
    self._seat(who, seat)


@external
@payable
def pay_in():
    """
    @notice Turns ether into units of the caller: a whole number of them.
    """
    seat: uint256 = self._caller()
    units: uint256 = msg.value // UNIT
    self._check(units >= 1 and units * UNIT == msg.value, BAD_VALUE)
    self._check(units <= INT_MAX - self.supply, SUPPLY_LIMIT)
    self.supply += units
    self._credit(seat, units)
    log PaidIn(who=msg.sender, units=units)


@external
def pay_out(amount: int256):
    """
    @notice Turns free units of the caller back into ether, sent to the caller.
    @dev The only external call of the contract, and its last step.
    """
    seat: uint256 = self._caller()
    self._check(amount >= 1, BAD_VALUE)
    units: uint256 = convert(amount, uint256)
    self._debit(seat, units)
    self.supply -= units
    log PaidOut(who=msg.sender, units=units)
    raw_call(msg.sender, b"", value=units * UNIT)


# Registry


@external
def register_seller(
    tags: int256,
    size: int256,
    commitment: bytes32,
    deposit: int256,
    ask: int256,
    max_tau_bps: int256,
):
    """
    @notice A seller lists its data with the terms it works for, and moves a deposit.
    """
    seat: uint256 = self._newcomer(BUYERS + 1, NODES_AFTER)
    self._check(self._is_lane(tags) and self._is_lane(size), BAD_VALUE)
    self._check(self._is_ask(ask, max_tau_bps), BAD_VALUE)
    self._check(deposit >= convert(R.seller_deposit, int256), DEPOSIT_TOO_LOW)
    self._stake(seat, deposit)
    listing: Listing = self._listing(seat - BUYERS - 1)
    listing.tags = convert(tags, uint256)
    listing.size = convert(size, uint256)
    listing.ask = convert(ask, uint256)
    listing.max_tau_bps = convert(max_tau_bps, uint256)
    self._set_listing(seat - BUYERS - 1, listing)
    self.commitment_of[seat] = commitment


@external
def set_ask(ask: int256, max_tau_bps: int256):
    """
    @notice A seller changes the terms it works for, but never while it could look at the bids.
    """
    seat: uint256 = self._caller()
    self._check(seat > BUYERS and seat <= NODES_AFTER, NOT_AUTHORISED)
    self._member()
    self._check(self._is_ask(ask, max_tau_bps), BAD_VALUE)
    listing: Listing = self._listing(seat - BUYERS - 1)
    for slot: uint256 in range(JOBS, bound=MAX_JOBS):
        word: uint256 = self.jobs[slot][0]
        tags: uint256 = (word >> 64) & LANE
        self._check(word & LANE != AUCTION or tags & listing.tags != tags, TOO_LATE)
    listing.ask = convert(ask, uint256)
    listing.max_tau_bps = convert(max_tau_bps, uint256)
    self._set_listing(seat - BUYERS - 1, listing)
    log AskSet(who=msg.sender, units=listing.ask, max_tau_bps=listing.max_tau_bps)


@external
def register_node(stake: int256):
    """
    @notice A compute node joins the pool and moves a stake from its balance.
    """
    seat: uint256 = self._newcomer(NODES_AFTER + 1, ARBITER - 1)
    self._check(stake >= convert(R.node_stake, int256), DEPOSIT_TOO_LOW)
    self._stake(seat, stake)


@external
def top_up(amount: int256):
    """
    @notice A registered seller or node adds to its deposit or stake.
    """
    seat: uint256 = self._member()
    self._check(not self._account(seat).banned, BANNED)
    self._check(amount >= 1, BAD_VALUE)
    self._stake(seat, amount)


@external
def request_withdrawal(amount: int256):
    """
    @notice Asks for part of a deposit or stake back; a new request replaces the old one.
    """
    seat: uint256 = self._member()
    account: Account = self._account(seat)
    self._check(amount >= 1, BAD_VALUE)
    self._check(amount <= convert(account.stake, int256), NOT_ENOUGH_MONEY)
    account.asked = convert(amount, uint256)
    account.asked_at = self._now()
    self._set_account(seat, account)
    log WithdrawalAsked(who=msg.sender, units=account.asked)


@external
def withdraw():
    """
    @notice Moves what was asked back, or what slashing left of it, to the balance of the caller.
            What is pledged to a job is no part of it.
    """
    seat: uint256 = self._member()
    account: Account = self._account(seat)
    self._check(account.asked != 0, WRONG_PHASE)
    self._check(self._now() - account.asked_at >= R.withdrawal_delay, TOO_EARLY)
    units: uint256 = min(account.asked, account.stake)
    account.stake -= units
    account.balance += units
    account.asked = 0
    if account.stake == 0 and not self._is_locked(seat):
        account.registered = False
    self._set_account(seat, account)
    log Withdrawn(who=msg.sender, units=units)


@external
def ban(target: address, banned: bool):
    """
    @notice The arbiter bars a seller or node from new work, or lets it back; no money moves.
    """
    self._check(self._caller() == ARBITER, NOT_AUTHORISED)
    seat: uint256 = self.seat_of[target]
    self._check(seat > BUYERS and seat < ARBITER, UNKNOWN_PARTY)
    account: Account = self._account(seat)
    self._check(account.banned != banned, ALREADY_DONE)
    account.banned = banned
    self._set_account(seat, account)
    log Barred(who=target, banned=banned)


# Auction


@external
def bid(
    job: int256, tags: int256, amount: int256, tau_bps: int256, model: bytes32, metric: bytes32
):
    """
    @notice A buyer bids, or raises its own bid by the difference; it need not lead.
    @param amount The whole new bid.
    @param model What is to be trained, and by which `metric` it is judged: digests.
    """
    j: Job = self._bidder(job, tags, self._is_share(tau_bps), NOT_WHERE_SEALED)
    seat: uint256 = self.seat_of[msg.sender]
    slot: uint256 = convert(job, uint256)
    offer: Offer = self._offer(slot, seat)
    least: uint256 = R.reserve
    if offer.bid > 0:
        least = offer.bid + max(self._part(offer.bid, R.min_increment_bps), 1)
    self._check(amount >= convert(least, int256), BID_TOO_LOW)
    units: uint256 = convert(amount, uint256)
    self._debit(seat, units - offer.bid)
    if j.buyer == 0 or units > self._offer(slot, j.buyer).bid:
        j.buyer = seat
    j.since = self._now()
    self._set_job(slot, j)
    offer = Offer(bid=units, deposit=units, tau_bps=convert(tau_bps, uint256), made=True)
    self._set_offer(slot, seat, offer)
    self.models[slot][seat - 1] = model
    self.metrics[slot][seat - 1] = metric
    log Bid(job=slot, buyer=msg.sender, tags=j.tags, units=units, tau_bps=offer.tau_bps)


@external
def seal(job: int256, tags: int256, deposit: int256, commitment: bytes32):
    """
    @notice A buyer commits to a bid, with a deposit that will have to cover it.
    @param commitment keccak256(abi.encode(job, buyer, amount, tau_bps, model, metric, salt)).
    """
    j: Job = self._bidder(job, tags, commitment != empty(bytes32), NOT_WHERE_OPEN)
    seat: uint256 = self.seat_of[msg.sender]
    slot: uint256 = convert(job, uint256)
    self._check(self.seals[slot][seat - 1] == empty(bytes32), ALREADY_DONE)
    self._check(deposit >= convert(R.reserve, int256), BID_TOO_LOW)
    units: uint256 = convert(deposit, uint256)
    self._debit(seat, units)
    self._set_job(slot, j)
    self._set_offer(slot, seat, Offer(bid=0, deposit=units, tau_bps=0, made=True))
    self.seals[slot][seat - 1] = commitment
    log Sealed(job=slot, buyer=msg.sender, tags=j.tags, deposit=units)


@external
def reveal(
    job: int256, amount: int256, tau_bps: int256, model: bytes32, metric: bytes32, salt: bytes32
):
    """
    @notice A buyer opens its seal, after the window for seals and before the close.
    """
    j: Job = self._enter(job, 1, BUYERS, 1 << AUCTION | NOT_WHERE_OPEN)
    seat: uint256 = self.seat_of[msg.sender]
    slot: uint256 = convert(job, uint256)
    waited: uint256 = self._now() - j.since
    self._check(waited >= R.auction_window, TOO_EARLY)
    self._check(waited < R.auction_window + R.reveal_window, TOO_LATE)
    opened: bytes32 = keccak256(
        abi_encode(job, msg.sender, amount, tau_bps, model, metric, salt)
    )
    self._check(self._is_share(tau_bps) and self.seals[slot][seat - 1] == opened, BAD_VALUE)
    self._check(amount >= convert(R.reserve, int256), BID_TOO_LOW)
    offer: Offer = self._offer(slot, seat)
    self._check(amount <= convert(offer.deposit, int256), NOT_ENOUGH_MONEY)
    self._check(offer.bid == 0, ALREADY_DONE)
    offer.bid = convert(amount, uint256)
    offer.tau_bps = convert(tau_bps, uint256)
    self._set_offer(slot, seat, offer)
    self.models[slot][seat - 1] = model
    self.metrics[slot][seat - 1] = metric
    log Revealed(job=slot, buyer=msg.sender, units=offer.bid, tau_bps=offer.tau_bps)


@external
def close_auction(job: int256):
    """
    @notice Anybody closes an auction whose windows are over: the price is fixed, deposits go back
            (part of those that were not revealed is burned), and the sellers that fit and have
            consented are matched, their deposits locked and the nodes' stakes pledged. With too
            few the job is aborted and the buyer has all back. One step, so that nobody leaves
            between the price and the match.
    """
    j: Job = self._enter(job, 1, ARBITER, 1 << AUCTION)
    slot: uint256 = convert(job, uint256)
    waited: uint256 = self._now() - j.since
    self._check(waited >= R.auction_window + R.sealed * R.reveal_window, TOO_EARLY)
    j = self._price(slot, j)
    number: uint256 = 0
    chosen: uint256 = 0  # one bit per seller
    if j.buyer != 0:
        for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
            if self._is_eligible(i, j.tags, j.seller_pool, j.tau_bps, j.since):
                number += 1
                chosen |= 1 << i
    log AuctionClosed(job=slot, buyer=self.owner_of[j.buyer], price=j.price, sellers=number)
    if number < max(R.min_sellers, 1):
        self._finish(slot, j, ABORTED, 0, 0)
        return
    for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
        if (chosen >> i) & 1 == 1:
            account: Account = self._account(BUYERS + 1 + i)
            account.stake -= R.seller_deposit
            self._set_account(BUYERS + 1 + i, account)
            place: Place = Place(locked=R.seller_deposit, weight=0, matched=True, excluded=False)
            self._set_place(slot, i, place)
    self._pledge(slot, j.since)
    j.pledge = R.node_stake
    j.phase = MATCHED
    j.since = self._now()
    self._set_job(slot, j)


# Rounds and the end of a job


@external
def settle_round(job: int256, outcomes: DynArray[int256, MAX_NODES]):
    """
    @notice The arbiter books one round of CONE: what it slashes and pays waits in the job.
    @param outcomes One per node: 0 not drawn, 1 agreed, 2 wrong, 3 silent.
    """
    j: Job = self._enter(job, ARBITER, ARBITER, 1 << MATCHED | 1 << TRAINING)
    slot: uint256 = convert(job, uint256)
    self._check(len(outcomes) == NODES, BAD_VALUE)
    slashed: uint256 = 0
    right: uint256 = 0
    wrong: uint256 = 0
    n: uint256 = 0
    for outcome: int256 in outcomes:
        self._check(outcome >= NOT_DRAWN and outcome <= SILENT, BAD_VALUE)
        if outcome == AGREED:
            right += convert(self._is_paid(slot, n), uint256)
        elif outcome == WRONG:
            wrong += convert(self._is_paid(slot, n), uint256)
        n += 1
    money: uint256 = self._round_money(j.price)
    reward: uint256 = min(R.reward_cap, money // max(right, 1))
    missed: uint256 = min(R.reward_cap, money // max(wrong, 1))
    n = 0
    for outcome: int256 in outcomes:
        if outcome == AGREED and self._is_paid(slot, n):
            self.posts[slot][n] += reward << 64
        elif outcome == WRONG and self._is_paid(slot, n):
            self.posts[slot][n] += missed << 96
        if outcome == WRONG or outcome == SILENT:
            slashed += self._hold(slot, n, outcome)
        n += 1
    j.compute_pool -= reward * right
    j.round += 1
    j.phase = TRAINING
    if j.round >= R.num_rounds:
        j.phase = VERIFY
    j.since = self._now()
    self._set_job(slot, j)
    log RoundSettled(job=slot, round=j.round, paid=reward * right, slashed=slashed)


@external
def rate_sellers(job: int256, verdicts: DynArray[int256, MAX_SELLERS]):
    """
    @notice The arbiter books what the defence said of the sellers in a round; no money moves.
    @param verdicts One per seller: 0 not sampled, 1 accepted, 2 flagged.
    """
    j: Job = self._enter(job, ARBITER, ARBITER, 1 << TRAINING | 1 << VERIFY)
    slot: uint256 = convert(job, uint256)
    self._check(j.rated < j.round, ALREADY_DONE)
    self._check(len(verdicts) == SELLERS, BAD_VALUE)
    j.rated = j.round
    self._set_job(slot, j)
    i: uint256 = 0
    for verdict: int256 in verdicts:
        self._check(verdict >= NOT_SAMPLED and verdict <= FLAGGED, BAD_VALUE)
        if verdict != NOT_SAMPLED and self._place(slot, i).matched:
            listing: Listing = self._listing(i)
            moved: uint256 = self._part(listing.reputation_bps, BPS - R.reputation_gain_bps)
            if verdict == ACCEPTED:
                moved += R.reputation_gain_bps
            listing.reputation_bps = max(moved, R.reputation_floor_bps)
            self._set_listing(i, listing)
        i += 1
    log Rated(job=slot)


@external
def slash_seller(job: int256, target: address):
    """
    @notice The arbiter punishes a matched seller on evidence of harm: its pay in this job, a ban,
            and part of its locked deposit.
    """
    j: Job = self._enter(
        job, ARBITER, ARBITER, 1 << MATCHED | 1 << TRAINING | 1 << VERIFY | 1 << CHALLENGE
    )
    slot: uint256 = convert(job, uint256)
    seat: uint256 = self.seat_of[target]
    self._check(self._is_matched(slot, seat), UNKNOWN_PARTY)
    self._check(not self._place(slot, seat - BUYERS - 1).excluded, ALREADY_DONE)
    units: uint256 = self._slash_deposit(slot, seat)
    self._credit(j.buyer, self._burn(units))
    log SellerSlashed(job=slot, who=target, units=units)


@external
def open_metric(job: int256, content: bytes32, salt: bytes32):
    """
    @notice The buyer opens the examples that its model is judged by. Without that it pays as if tau
            were reached.
    @param content Of which its bid's metric was the digest, keccak256(abi.encode(content, salt)).
    """
    j: Job = self._owner(job, 1 << MATCHED | 1 << TRAINING | 1 << VERIFY)
    slot: uint256 = convert(job, uint256)
    self._check(j.opened == 0, ALREADY_DONE)
    opened: bytes32 = keccak256(abi_encode(content, salt))
    self._check(self.metrics[slot][j.buyer - 1] == opened, BAD_VALUE)
    j.opened = 1
    j.since = self._now()
    self._set_job(slot, j)
    log MetricOpened(job=slot, content=content)


@external
def report_metric(
    job: int256,
    metric_bps: int256,
    base_metric_bps: int256,
    weights: DynArray[int256, MAX_SELLERS],
):
    """
    @notice The arbiter reports the agreed metric and the payment weights of the sellers; the
            challenge window opens, whether tau is reached or missed.
    """
    j: Job = self._enter(job, ARBITER, ARBITER, 1 << TRAINING | 1 << VERIFY)
    slot: uint256 = convert(job, uint256)
    top: int256 = convert(BPS, int256)
    self._check(metric_bps >= 0 and metric_bps <= top, BAD_VALUE)
    self._check(base_metric_bps >= 0 and base_metric_bps <= top, BAD_VALUE)
    self._check(len(weights) == SELLERS, BAD_VALUE)
    i: uint256 = 0
    for weight: int256 in weights:
        self._check(weight >= 0 and weight <= MAX_WEIGHT, BAD_VALUE)
        place: Place = self._place(slot, i)
        if place.matched:
            place.weight = convert(weight, uint256)
            self._set_place(slot, i, place)
        i += 1
    j.metric_bps = convert(metric_bps, uint256)
    j.base_bps = convert(base_metric_bps, uint256)
    self._check(j.opened == 1 and (j.phase == VERIFY or j.metric_bps >= j.tau_bps), TOO_EARLY)
    j.phase = CHALLENGE
    j.since = self._now()
    self._set_job(slot, j)
    log MetricReported(job=slot, metric_bps=j.metric_bps)


@external
def settle(job: int256):
    """
    @notice Anybody settles an undisputed job after the challenge window, once: all are paid, or,
            with a metric below tau, the buyer is refunded, less the pay for accepted work, a
            partial payment and the fee, if the rules say so.
    """
    j: Job = self._enter(job, 1, ARBITER, 1 << CHALLENGE)
    slot: uint256 = convert(job, uint256)
    self._check(self._now() - j.since >= R.challenge_window, TOO_EARLY)
    if j.metric_bps >= j.tau_bps:
        paid: uint256 = self._pay_sellers(slot, j.seller_pool, False)
        self._finish(slot, j, SETTLED, paid, j.fee_pool)
        return
    earned: uint256 = self._part(j.seller_pool, R.work_bps)
    if R.partial_payment == 1 and j.metric_bps > j.base_bps:
        way: uint256 = j.metric_bps - j.base_bps
        earned = max(earned, j.seller_pool * way // (j.tau_bps - j.base_bps))
    fee: uint256 = j.fee_pool
    if R.refund_fee == 1:
        fee = 0
    self._finish(slot, j, REFUNDED, self._pay_sellers(slot, earned, False), fee)


@external
def take(job: int256):
    """
    @notice The buyer takes a model that misses its threshold at the full price all the same: the
            threshold becomes the metric that is reported.
    """
    j: Job = self._owner(job, 1 << CHALLENGE)
    self._check(j.metric_bps < j.tau_bps, ALREADY_DONE)
    self._check(self._now() - j.since < R.challenge_window, TOO_LATE)
    j.tau_bps = j.metric_bps
    self._set_job(convert(job, uint256), j)
    log Taken(job=convert(job, uint256), metric_bps=j.metric_bps)


@external
def time_out(job: int256):
    """
    @notice Anybody ends a job that made no progress for long: the buyer is refunded, unless all
            rounds are done and it has not opened its metric: then it pays as if tau were reached.
    """
    j: Job = self._enter(
        job, 1, ARBITER, 1 << MATCHED | 1 << TRAINING | 1 << VERIFY | 1 << DISPUTED
    )
    self._check(self._now() - j.since >= R.timeout, TOO_EARLY)
    slot: uint256 = convert(job, uint256)
    if j.phase == VERIFY and j.opened == 0:
        paid: uint256 = self._pay_sellers(slot, j.seller_pool, True)
        self._finish(slot, j, SETTLED, paid, j.fee_pool)
    else:
        self._finish(slot, j, REFUNDED, 0, 0)


@external
def reset_job(job: int256):
    """
    @notice Anybody clears a finished slot for the next auction; accounts and registry stay.
    """
    self._enter(job, 1, ARBITER, FINISHED)
    slot: uint256 = convert(job, uint256)
    self.jobs[slot] = empty(uint256[3])
    for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
        self.places[slot][i] = 0
    for n: uint256 in range(NODES, bound=MAX_NODES):
        self.posts[slot][n] = 0
    for u: uint256 in range(BUYERS, bound=MAX_BUYERS):
        if self.offers[slot][u] != 0:
            self.offers[slot][u] = 0
            self.seals[slot][u] = empty(bytes32)
            self.models[slot][u] = empty(bytes32)
            self.metrics[slot][u] = empty(bytes32)
    log Cleared(job=slot)


# Disputes


@external
def open_dispute(job: int256, accused: address, disputed_round: int256):
    """
    @notice A party of the job stakes a bond against a node or seller; the job waits for the arbiter.
    """
    j: Job = self._enter(job, 1, ARBITER, 1 << CHALLENGE)
    seat: uint256 = self.seat_of[msg.sender]
    slot: uint256 = convert(job, uint256)
    self._check(seat == j.buyer or self._works(slot, seat), NOT_AUTHORISED)
    self._check(self._now() - j.since < R.challenge_window, TOO_LATE)
    other: uint256 = self.seat_of[accused]
    self._check(other != seat and self._works(slot, other), UNKNOWN_PARTY)
    self._check(disputed_round >= 0 and disputed_round < convert(j.round, int256), BAD_VALUE)
    j.bond = max(self._part(j.price, R.bond_bps), 1)
    self._debit(seat, j.bond)
    j.phase = DISPUTED
    j.since = self._now()
    j.disputer = seat
    j.accused = other
    j.disputed_round = convert(disputed_round, uint256) + 1
    self._set_job(slot, j)
    log Disputed(job=slot, accused=accused, bond=j.bond)


@external
def resolve_dispute(job: int256, ruling: int256, findings: DynArray[int256, MAX_NODES]):
    """
    @notice The arbiter books the verdict; the loser pays, also the nodes that executed again.
    @param ruling 0 rejected; 1 upheld, the job fails; 2 upheld, the metric is reported again.
    @param findings One per node: what it did in the re-execution (0 to 3, as in a round), 4 if it
           was wrong in what is disputed, 5 if it was right but outvoted (nothing if rejected).
    """
    j: Job = self._enter(job, ARBITER, ARBITER, 1 << DISPUTED)
    slot: uint256 = convert(job, uint256)
    self._check(ruling >= REJECTED and ruling <= REPORT_AGAIN and len(findings) == NODES, BAD_VALUE)
    against: bool = ruling != REJECTED
    lost: uint256 = 0  # by the guilty, of their pledges and deposits
    forfeited: uint256 = 0  # by them, of what they had earned
    owed: uint256 = 0
    number: uint256 = 0
    n: uint256 = 0
    for finding: int256 in findings:
        self._check(finding >= NOT_DRAWN and finding <= OUTVOTED, BAD_VALUE)
        seat: uint256 = NODES_AFTER + 1 + n
        if against and (finding == GUILTY or seat == j.accused):
            if self._account(seat).registered:
                lost += self._take(slot, n, R.slash_wrong_bps, 1)
                earned: uint256 = self._post(slot, n).earned
                self.posts[slot][n] -= earned << 64
                forfeited += earned
                self._bar(seat)
        elif finding == AGREED:
            number += convert(self._is_active(seat), uint256)
        elif finding == OUTVOTED and against:
            owed += self._give_back(slot, n)
        elif finding == WRONG or finding == SILENT:
            self._hold(slot, n, finding)
        n += 1
    left: uint256 = j.bond
    if against:
        if self._is_matched(slot, j.accused):
            lost += self._slash_deposit(slot, j.accused)
        left = lost
        j.compute_pool += forfeited - min(owed, forfeited)
    reward: uint256 = min(
        R.reward_cap, min(self._round_money(j.price), left) // max(number, 1)
    )
    left -= reward * number
    pot: uint256 = min(owed, forfeited)
    shares: uint256 = 0
    given: uint256 = 0
    n = 0
    for finding: int256 in findings:
        seat: uint256 = NODES_AFTER + 1 + n
        if finding == AGREED and self._is_active(seat):
            self._credit(seat, reward)
        elif finding == OUTVOTED and against and seat != j.accused:
            missed: uint256 = self._post(slot, n).missed
            shares += missed
            part: uint256 = pot * shares // max(owed, 1) - given
            given += part
            self.posts[slot][n] = self.posts[slot][n] + (part << 64) - (missed << 96)
        n += 1
    if ruling == UPHELD:
        left -= self._pay_sellers(slot, min(left, self._part(j.seller_pool, R.work_bps)), False)
    burned: uint256 = left
    if against:
        burned = min(left, self._part(lost, R.burn_bps))
    self.burned += burned
    left -= burned
    prize: uint256 = min(left, j.bond)
    self._credit(j.disputer, prize)
    self._credit(j.buyer, left - prize)
    if ruling == UPHELD:
        self._finish(slot, j, REFUNDED, 0, 0)
    else:
        j.phase = CHALLENGE
        if against:
            self._credit(j.disputer, j.bond)
            j.phase = VERIFY
        j.since = self._now()
        j.bond = 0
        j.disputer = 0
        j.accused = 0
        j.disputed_round = 0
        self._set_job(slot, j)
    log Resolved(job=slot, ruling=ruling, lost=lost)


# Views


@external
@view
def rules() -> Rules:
    return R


@external
@view
def layout() -> uint256[6]:
    """
    @return Buyers, sellers, nodes, slots, wei of one unit, block 0 of the ledger.
    """
    return [BUYERS, SELLERS, NODES, JOBS, UNIT, GENESIS]


@external
@view
def account(who: address) -> Account:
    return self._account(self.seat_of[who])


@external
@view
def listing(who: address) -> Listing:
    return self._listing(self.seat_of[who] - BUYERS - 1)


@external
@view
def job(slot: uint256) -> Job:
    return self._job(slot)


@external
@view
def offer(slot: uint256, who: address) -> (Offer, bytes32, bytes32, bytes32):
    """
    @return What a buyer bid; its seal, and the digests of its model and metric.
    """
    u: uint256 = self.seat_of[who] - 1
    return (
        self._offer(slot, u + 1),
        self.seals[slot][u],
        self.models[slot][u],
        self.metrics[slot][u],
    )


@external
@view
def post(slot: uint256, who: address) -> (uint256, Post):
    """
    @return What is left of a node's pledge to a job, and what waits for it there.
    """
    n: uint256 = self.seat_of[who] - NODES_AFTER - 1
    return self._left(slot, n), self._post(slot, n)


@external
@view
def place(slot: uint256, who: address) -> Place:
    return self._place(slot, self.seat_of[who] - BUYERS - 1)


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
def _enter(job: int256, first: uint256, last: uint256, phases: uint256) -> Job:
    """
    @dev The checks that all actions on a job begin with: seats `first` to `last` may act, in the
         given phases.
    """
    seat: uint256 = self._caller()
    self._check(job >= 0 and job < convert(JOBS, int256), UNKNOWN_JOB)
    self._check(seat >= first and seat <= last, NOT_AUTHORISED)
    self._check(phases & (NOT_WHERE_OPEN << R.sealed) == 0, WRONG_FORMAT)
    j: Job = self._job(convert(job, uint256))
    self._check(((phases | ~FINISHED) >> j.phase) & 1 == 1, ALREADY_DONE)
    self._check((phases >> j.phase) & 1 == 1, WRONG_PHASE)
    return j


@view
@internal
def _owner(job: int256, phases: uint256) -> Job:
    """
    @dev The checks of what only the buyer of a job may do.
    """
    j: Job = self._enter(job, 1, ARBITER, phases)
    self._check(self.seat_of[msg.sender] == j.buyer, NOT_AUTHORISED)
    return j


@view
@internal
def _bidder(job: int256, tags: int256, is_good: bool, format: uint256) -> Job:
    """
    @dev The checks that bids and seals begin with; the first one opens the auction.
    """
    j: Job = self._enter(job, 1, BUYERS, 1 << IDLE | 1 << AUCTION | format)
    is_open: bool = j.phase == AUCTION
    self._check(not is_open or self._now() - j.since < R.auction_window, TOO_LATE)
    self._check(self._is_lane(tags) and is_good, BAD_VALUE)
    wanted: uint256 = convert(tags, uint256)
    if is_open:
        self._check(wanted == j.tags, WRONG_TAGS)
        return j
    for other: uint256 in range(JOBS, bound=MAX_JOBS):
        word: uint256 = self.jobs[other][0]
        self._check(word & LANE != AUCTION or (word >> 64) & LANE != wanted, TAGS_TAKEN)
    j.phase = AUCTION
    j.tags = wanted
    j.since = self._now()
    return j


@view
@internal
def _newcomer(first: uint256, last: uint256) -> uint256:
    seat: uint256 = self._caller()
    self._check(seat >= first and seat <= last, NOT_AUTHORISED)
    account: Account = self._account(seat)
    self._check(not account.banned, BANNED)
    self._check(not account.registered, ALREADY_DONE)
    return seat


@view
@internal
def _member() -> uint256:
    seat: uint256 = self._caller()
    self._check(self._account(seat).registered, NOT_REGISTERED)
    return seat


@view
@internal
def _is_active(seat: uint256) -> bool:
    """
    @dev Registered and not banned: the two highest bits of an account word.
    """
    return (self.accounts[seat] >> 128) == 1


@view
@internal
def _stays(seat: uint256, units: uint256, since: uint256) -> bool:
    """
    @dev Has the units free to pledge. What was asked back since the auction's first seal, or last
         bid, still counts: nobody leaves because of a price that is known.
    """
    account: Account = self._account(seat)
    if account.asked_at < since:
        return account.stake >= units + account.asked
    return account.stake >= units


@view
@internal
def _is_eligible(
    i: uint256, tags: uint256, pool: uint256, tau_bps: uint256, since: uint256
) -> bool:
    seat: uint256 = BUYERS + 1 + i
    if not self._is_active(seat):
        return False
    listing: Listing = self._listing(i)
    return (
        self._stays(seat, R.seller_deposit, since)
        and tags & listing.tags == tags
        and listing.reputation_bps >= R.min_reputation_bps
        and listing.ask <= pool
        and listing.max_tau_bps >= tau_bps
    )


@view
@internal
def _is_matched(slot: uint256, seat: uint256) -> bool:
    if seat <= BUYERS or seat > NODES_AFTER:
        return False
    return self._place(slot, seat - BUYERS - 1).matched


@view
@internal
def _works(slot: uint256, seat: uint256) -> bool:
    """
    @dev A matched seller of the job or a registered node.
    """
    if seat > NODES_AFTER and seat < ARBITER:
        return self._account(seat).registered
    return self._is_matched(slot, seat)


@view
@internal
def _is_locked(seat: uint256) -> bool:
    """
    @dev Money of a seller or node lies in a job.
    """
    for slot: uint256 in range(JOBS, bound=MAX_JOBS):
        if seat <= NODES_AFTER:
            if self._place(slot, seat - BUYERS - 1).locked > 0:
                return True
        else:
            n: uint256 = seat - NODES_AFTER - 1
            post: Post = self._post(slot, n)
            if self._left(slot, n) + post.held + post.earned > 0:
                return True
    return False


@view
@internal
def _is_pledged(slot: uint256, n: uint256) -> bool:
    return (self.pledges[slot][n >> 8] >> (n & 255)) & 1 == 1


@view
@internal
def _left(slot: uint256, n: uint256) -> uint256:
    """
    @dev What is left of the pledge of node `n` to a job.
    """
    if not self._is_pledged(slot, n):
        return 0
    return R.node_stake - self._post(slot, n).taken


@view
@internal
def _is_paid(slot: uint256, n: uint256) -> bool:
    """
    @dev A node that has something to lose in the job and is not banned.
    """
    return self._left(slot, n) > 0 and self._is_active(NODES_AFTER + 1 + n)


@pure
@internal
def _is_share(bps: int256) -> bool:
    return bps >= 0 and bps <= convert(BPS, int256)


@pure
@internal
def _is_ask(ask: int256, max_tau_bps: int256) -> bool:
    return ask >= 0 and ask <= convert(INT_MAX, int256) and self._is_share(max_tau_bps)


@pure
@internal
def _is_lane(number: int256) -> bool:
    return number >= 1 and number <= convert(INT_MAX, int256)


@view
@internal
def _now() -> uint256:
    return block.number - GENESIS


# Money


@pure
@internal
def _part(amount: uint256, bps: uint256) -> uint256:
    return amount * bps // BPS


@view
@internal
def _round_money(price: uint256) -> uint256:
    """
    @dev What the price holds for the compute of one unit of work.
    """
    return (price - self._part(price, R.seller_bps) - self._part(price, R.fee_bps)) // R.num_rounds


@internal
def _seat(who: address, seat: uint256):
    self.seat_of[who] = seat
    self.owner_of[seat] = who
    if seat > BUYERS and seat <= NODES_AFTER:
        listing: Listing = empty(Listing)
        listing.reputation_bps = FIRST_REPUTATION
        self._set_listing(seat - BUYERS - 1, listing)
    log Admitted(who=who, account=seat - 1)


@internal
def _credit(seat: uint256, units: uint256):
    """
    @dev Cannot spill into the next lane: all units together are at most INT_MAX.
    """
    self.accounts[seat] += units


@internal
def _debit(seat: uint256, units: uint256):
    self._check(units <= self.accounts[seat] & LANE, NOT_ENOUGH_MONEY)
    self.accounts[seat] -= units


@internal
def _stake(seat: uint256, amount: int256):
    """
    @dev From the balance to the stake; the caller is registered from now on.
    """
    units: uint256 = convert(amount, uint256)
    self._debit(seat, units)
    account: Account = self._account(seat)
    account.stake += units
    account.registered = True
    self._set_account(seat, account)
    log Staked(who=msg.sender, units=units)


@internal
def _price(slot: uint256, auction: Job) -> Job:
    """
    @dev Winner and price; all deposits go back less the price and what the unrevealed lose. Of the
         bids the highest wins, ties to the lowest seat; where bids are open, to who came first.
    """
    j: Job = auction
    best: uint256 = 0
    others: uint256 = 0
    lost: uint256 = 0
    for u: uint256 in range(BUYERS, bound=MAX_BUYERS):
        offer: Offer = self._offer(slot, u + 1)
        if not offer.made:
            continue
        if offer.bid > best:
            others = best
            best = offer.bid
            if R.sealed == 1:
                j.buyer = u + 1
        else:
            others = max(others, offer.bid)
        back: uint256 = offer.deposit
        if offer.bid == 0:
            back -= self._part(offer.deposit, R.unrevealed_bps)
            lost += offer.deposit - back
        self._credit(u + 1, back)
        offer.deposit = 0
        self._set_offer(slot, u + 1, offer)
    if lost > 0:
        self.burned += lost
    j.price = best
    if R.second_price == 1:
        j.price = min(max(R.reserve, others), best)
    if j.buyer != 0:
        self._debit(j.buyer, j.price)
        j.tau_bps = self._offer(slot, j.buyer).tau_bps
    j.seller_pool = self._part(j.price, R.seller_bps)
    j.fee_pool = self._part(j.price, R.fee_bps)
    j.compute_pool = j.price - j.seller_pool - j.fee_pool
    return j


@internal
def _burn(slashed: uint256) -> uint256:
    """
    @dev Burns its share (the units stay in the contract for good) and returns what is left.
    """
    units: uint256 = self._part(slashed, R.burn_bps)
    if units > 0:
        self.burned += units
    return slashed - units


@internal
def _pledge(slot: uint256, since: uint256):
    """
    @dev Of every node that is active and has the stake free, as of a seller.
    """
    word: uint256 = 0
    for n: uint256 in range(NODES, bound=MAX_NODES):
        seat: uint256 = NODES_AFTER + 1 + n
        if self._is_active(seat) and self._stays(seat, R.node_stake, since):
            self.accounts[seat] -= R.node_stake << 32
            word |= 1 << (n & 255)
        if n & 255 == 255 or n + 1 == NODES:
            self.pledges[slot][n >> 8] = word
            word = 0


@internal
def _take(slot: uint256, n: uint256, bps: uint256, lanes: uint256) -> uint256:
    """
    @dev Takes a share of what is left of a pledge, and adds it to the given lanes of the post.
    """
    units: uint256 = self._part(self._left(slot, n), bps)
    if units > 0:
        self.posts[slot][n] += units * lanes
    return units


@internal
def _hold(slot: uint256, n: uint256, outcome: int256) -> uint256:
    """
    @dev What is slashed for a wrong result or for silence waits in the job.
    """
    bps: uint256 = R.slash_silent_bps
    if outcome == WRONG:
        bps = R.slash_wrong_bps
    return self._take(slot, n, bps, 1 | 1 << 32)


@internal
def _give_back(slot: uint256, n: uint256) -> uint256:
    """
    @dev Pledges again what is held of a node that was outvoted; returns what it is owed.
    """
    post: Post = self._post(slot, n)
    self.posts[slot][n] -= post.held * (1 | 1 << 32)
    return post.missed


@internal
def _bar(seat: uint256):
    self.accounts[seat] |= 1 << 129


@internal
def _slash_deposit(slot: uint256, seat: uint256) -> uint256:
    place: Place = self._place(slot, seat - BUYERS - 1)
    units: uint256 = self._part(place.locked, R.slash_harm_bps)
    place.locked -= units
    place.excluded = True
    self._set_place(slot, seat - BUYERS - 1, place)
    self._bar(seat)
    return units


@internal
def _pay_sellers(slot: uint256, pot: uint256, equally: bool) -> uint256:
    """
    @dev Shares a pot among the sellers, but those excluded, by weight, or equally. The parts add
         up: differences of floored cumulative shares. Returns what is paid: all or, if nobody has a
         weight, nothing.
    """
    total: uint256 = 0
    for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
        total += self._weight(slot, i, equally)
    paid: uint256 = 0
    shares: uint256 = 0
    for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
        weight: uint256 = self._weight(slot, i, equally)
        if weight > 0:
            shares += weight
            pay: uint256 = pot * shares // total - paid
            paid += pay
            self._credit(BUYERS + 1 + i, pay)
    return paid


@view
@internal
def _weight(slot: uint256, i: uint256, equally: bool) -> uint256:
    place: Place = self._place(slot, i)
    if place.excluded or not place.matched:
        return 0
    if equally:
        return 1
    return place.weight


@internal
def _release(slot: uint256) -> (uint256, uint256, uint256):
    """
    @dev Deposits and pledges go back and nodes are paid; of what is held part is burned, the rest
         shared among the nodes by what they earned. Returns what was kept of it, earned, and paid.
    """
    for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
        place: Place = self._place(slot, i)
        if place.locked > 0:
            self.accounts[BUYERS + 1 + i] += place.locked << 32
            place.locked = 0
            self._set_place(slot, i, place)
    kept: uint256 = 0
    earned: uint256 = 0
    for n: uint256 in range(NODES, bound=MAX_NODES):
        post: Post = self._post(slot, n)
        kept += post.held
        earned += post.earned
    kept = self._burn(kept)
    paid: uint256 = 0
    shares: uint256 = 0
    for n: uint256 in range(NODES, bound=MAX_NODES):
        post: Post = self._post(slot, n)
        shares += post.earned
        pay: uint256 = kept * shares // max(earned, 1) + shares - paid
        paid += pay
        back: uint256 = pay + (self._left(slot, n) << 32)
        if back > 0:
            self.accounts[NODES_AFTER + 1 + n] += back
        if post.taken + post.earned > 0:
            self.posts[slot][n] = post.missed << 96
    self.pledges[slot] = empty(uint256[4])
    return kept, earned, paid


@internal
def _finish(slot: uint256, finished: Job, phase: uint256, paid: uint256, fee: uint256):
    """
    @dev Closes a job, whose sellers have been `paid`; nothing stays behind.
    """
    j: Job = finished
    earned: uint256 = 0
    if j.phase != AUCTION:  # nobody is matched before
        j.compensation, earned, j.compute_paid = self._release(slot)
    j.refunded = j.seller_pool + j.fee_pool + j.compute_pool - paid - fee
    j.refunded += earned + j.compensation - j.compute_paid
    self._credit(ARBITER, fee)
    self._credit(j.buyer, j.refunded)
    if j.bond > 0:
        self._credit(j.disputer, j.bond)
    j.phase = phase
    j.since = self._now()
    j.seller_pool = 0
    j.compute_pool = 0
    j.fee_pool = 0
    j.bond = 0
    j.seller_paid = paid
    j.fee_paid = fee
    self._set_job(slot, j)
    log Finished(job=slot, phase=phase, to_sellers=paid, to_arbiter=fee, to_buyer=j.refunded)


# Packing


@view
@internal
def _account(seat: uint256) -> Account:
    word: uint256 = self.accounts[seat]
    return Account(
        balance=word & LANE,
        stake=(word >> 32) & LANE,
        asked=(word >> 64) & LANE,
        asked_at=(word >> 96) & LANE,
        registered=(word >> 128) & 1 == 1,
        banned=(word >> 129) & 1 == 1,
    )


@internal
def _set_account(seat: uint256, a: Account):
    self.accounts[seat] = (
        a.balance
        | a.stake << 32
        | a.asked << 64
        | a.asked_at << 96
        | convert(a.registered, uint256) << 128
        | convert(a.banned, uint256) << 129
    )


@view
@internal
def _listing(i: uint256) -> Listing:
    word: uint256 = self.listings[i]
    return Listing(
        tags=word & LANE,
        size=(word >> 32) & LANE,
        reputation_bps=(word >> 64) & LANE,
        ask=(word >> 96) & LANE,
        max_tau_bps=word >> 128,
    )


@internal
def _set_listing(i: uint256, l: Listing):
    self.listings[i] = (
        l.tags | l.size << 32 | l.reputation_bps << 64 | l.ask << 96 | l.max_tau_bps << 128
    )


@view
@internal
def _offer(slot: uint256, seat: uint256) -> Offer:
    word: uint256 = self.offers[slot][seat - 1]
    return Offer(
        bid=word & LANE,
        deposit=(word >> 32) & LANE,
        tau_bps=(word >> 64) & LANE,
        made=word >> 96 == 1,
    )


@internal
def _set_offer(slot: uint256, seat: uint256, o: Offer):
    self.offers[slot][seat - 1] = (
        o.bid | o.deposit << 32 | o.tau_bps << 64 | convert(o.made, uint256) << 96
    )


@view
@internal
def _place(slot: uint256, i: uint256) -> Place:
    word: uint256 = self.places[slot][i]
    return Place(
        locked=word & LANE,
        weight=(word >> 32) & LANE,
        matched=(word >> 64) & 1 == 1,
        excluded=(word >> 65) & 1 == 1,
    )


@internal
def _set_place(slot: uint256, i: uint256, p: Place):
    self.places[slot][i] = (
        p.locked
        | p.weight << 32
        | convert(p.matched, uint256) << 64
        | convert(p.excluded, uint256) << 65
    )


@view
@internal
def _post(slot: uint256, n: uint256) -> Post:
    word: uint256 = self.posts[slot][n]
    return Post(
        taken=word & LANE,
        held=(word >> 32) & LANE,
        earned=(word >> 64) & LANE,
        missed=word >> 96,
    )


@view
@internal
def _job(slot: uint256) -> Job:
    w: uint256[3] = self.jobs[slot]
    return Job(
        phase=w[0] & LANE,
        since=(w[0] >> 32) & LANE,
        tags=(w[0] >> 64) & LANE,
        buyer=(w[0] >> 96) & LANE,
        tau_bps=(w[0] >> 128) & LANE,
        metric_bps=(w[0] >> 160) & LANE,
        base_bps=(w[0] >> 192) & LANE,
        round=w[0] >> 224,
        price=w[1] & LANE,
        seller_pool=(w[1] >> 32) & LANE,
        compute_pool=(w[1] >> 64) & LANE,
        fee_pool=(w[1] >> 96) & LANE,
        bond=(w[1] >> 128) & LANE,
        rated=(w[1] >> 160) & LANE,
        opened=(w[1] >> 192) & LANE,
        pledge=w[1] >> 224,
        disputer=w[2] & LANE,
        accused=(w[2] >> 32) & LANE,
        disputed_round=(w[2] >> 64) & LANE,
        compensation=(w[2] >> 96) & LANE,
        compute_paid=(w[2] >> 128) & LANE,
        seller_paid=(w[2] >> 160) & LANE,
        fee_paid=(w[2] >> 192) & LANE,
        refunded=w[2] >> 224,
    )


@internal
def _set_job(slot: uint256, j: Job):
    self.jobs[slot] = [
        j.phase
        | j.since << 32
        | j.tags << 64
        | j.buyer << 96
        | j.tau_bps << 128
        | j.metric_bps << 160
        | j.base_bps << 192
        | j.round << 224,
        j.price
        | j.seller_pool << 32
        | j.compute_pool << 64
        | j.fee_pool << 96
        | j.bond << 128
        | j.rated << 160
        | j.opened << 192
        | j.pledge << 224,
        j.disputer
        | j.accused << 32
        | j.disputed_round << 64
        | j.compensation << 96
        | j.compute_paid << 128
        | j.seller_paid << 160
        | j.fee_paid << 192
        | j.refunded << 224,
    ]
