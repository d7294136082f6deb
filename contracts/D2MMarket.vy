# pragma version 0.4.3
# pragma optimize gas
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
     A seat is the ledger's account number plus one, so that 0 is nobody.
"""

MAX_JOBS: constant(uint256) = 16
MAX_SELLERS: constant(uint256) = 256
MAX_NODES: constant(uint256) = 1024
MAX_SEATS: constant(uint256) = 2**16
INT_MAX: constant(uint256) = 2**31 - 1
BPS: constant(uint256) = 10_000
MAX_WEIGHT: constant(int256) = 2**15
FIRST_REPUTATION: constant(uint256) = 5_000
LANE: constant(uint256) = 2**32 - 1

# Phases, numbered as `Phase` of the ledger; sets of them are bit masks.
IDLE: constant(uint256) = 0
AUCTION: constant(uint256) = 1
CLOSED: constant(uint256) = 2
MATCHED: constant(uint256) = 3
TRAINING: constant(uint256) = 4
VERIFY: constant(uint256) = 5
CHALLENGE: constant(uint256) = 6
DISPUTED: constant(uint256) = 7
SETTLED: constant(uint256) = 8
REFUNDED: constant(uint256) = 9
ABORTED: constant(uint256) = 10
FINISHED: constant(uint256) = 2**8 + 2**9 + 2**10

# What a node did (`Outcome`) and what the defence said of a seller (`Verdict`).
NOT_DRAWN: constant(int256) = 0
AGREED: constant(int256) = 1
WRONG: constant(int256) = 2
SILENT: constant(int256) = 3
GUILTY: constant(int256) = 4  # only of a dispute (`Finding`)
NOT_SAMPLED: constant(int256) = 0
ACCEPTED: constant(int256) = 1
FLAGGED: constant(int256) = 2


# What the arbiter says of a dispute (`Ruling`).
REJECTED: constant(int256) = 0
UPHELD: constant(int256) = 1
REPORT_AGAIN: constant(int256) = 2


struct Rules:
    reserve: uint256
    min_increment_bps: uint256
    auction_window: uint256
    second_price: uint256
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


struct Place:  # one word per job and seller
    locked: uint256
    weight: uint256
    matched: bool
    excluded: bool


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
    best_bid: uint256
    second_bid: uint256
    price: uint256
    escrow: uint256
    seller_pool: uint256
    compute_pool: uint256
    fee_pool: uint256
    bond: uint256
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

event Bid:
    job: indexed(uint256)
    buyer: indexed(address)
    tags: uint256
    units: uint256
    tau_bps: uint256

event Priced:
    job: indexed(uint256)
    price: uint256

event Matched:
    job: indexed(uint256)
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
    slashed: uint256

event Finished:
    job: indexed(uint256)
    phase: uint256
    to_sellers: uint256
    to_arbiter: uint256
    to_buyer: uint256

event Cleared:
    job: indexed(uint256)


R: immutable(Rules)
UNIT: public(immutable(uint256))  # wei of one unit
GENESIS: public(immutable(uint256))  # block 0 of the ledger
BUYERS: public(immutable(uint256))  # seats 1 .. BUYERS
SELLERS: public(immutable(uint256))
NODES: public(immutable(uint256))
JOBS: public(immutable(uint256))
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
    assert num_buyers <= MAX_SEATS - MAX_SELLERS - MAX_NODES - 2, "LAYOUT"
    assert unit >= 1 and unit <= 2**128 and arbiter != empty(address), "LAYOUT"
    assert rules.reserve >= 1 and rules.num_rounds >= 1, "RULES"
    for number: uint256 in [
        rules.reserve,
        rules.auction_window,
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
        rules.seller_bps,
        rules.fee_bps,
        rules.min_reputation_bps,
        rules.slash_wrong_bps,
        rules.slash_silent_bps,
        rules.slash_harm_bps,
        rules.burn_bps,
        rules.bond_bps,
        rules.reputation_gain_bps,
        rules.reputation_floor_bps,
    ]:
        assert share <= BPS, "RULES"
    for is_on: uint256 in [rules.second_price, rules.partial_payment, rules.refund_fee]:
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
    raise "UNKNOWN_ACTION"


# Money in and out


@external
def admit(who: address, account: int256):
    """
    @notice The arbiter gives an account of the layout (buyers, sellers, nodes) to an address, once.
    @dev Seats are bounded because a round pays all nodes in one transaction; were they free for
         all, an attacker could take every one.
    """
    assert self._caller() == ARBITER, "NOT_AUTHORISED"
    assert account >= 0 and account < convert(ARBITER, int256) - 1, "UNKNOWN_PARTY"
    seat: uint256 = convert(account, uint256) + 1
    assert who != empty(address), "BAD_VALUE"
    assert self.seat_of[who] == 0 and self.owner_of[seat] == empty(address), "ALREADY_DONE"
    self._seat(who, seat)


@external
@payable
def pay_in():
    """
    @notice Turns ether into units of the caller: a whole number of them.
    """
    seat: uint256 = self._caller()
    units: uint256 = msg.value // UNIT
    assert units >= 1 and units * UNIT == msg.value, "BAD_VALUE"
    assert units <= INT_MAX - self.supply, "SUPPLY_LIMIT"
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
    assert amount >= 1, "BAD_VALUE"
    units: uint256 = convert(amount, uint256)
    self._debit(seat, units)
    self.supply -= units
    log PaidOut(who=msg.sender, units=units)
    raw_call(msg.sender, b"", value=units * UNIT)


# Registry


@external
def register_seller(tags: int256, size: int256, commitment: bytes32, deposit: int256):
    """
    @notice A seller lists its data and moves a deposit from its balance.
    """
    seat: uint256 = self._newcomer(BUYERS + 1, NODES_AFTER)
    assert self._is_lane(tags) and self._is_lane(size), "BAD_VALUE"
    assert deposit >= convert(R.seller_deposit, int256), "DEPOSIT_TOO_LOW"
    self._stake(seat, deposit)
    listing: Listing = self._listing(seat - BUYERS - 1)
    listing.tags = convert(tags, uint256)
    listing.size = convert(size, uint256)
    self._set_listing(seat - BUYERS - 1, listing)
    self.commitment_of[seat] = commitment


@external
def register_node(stake: int256):
    """
    @notice A compute node joins the pool and moves a stake from its balance.
    """
    seat: uint256 = self._newcomer(NODES_AFTER + 1, ARBITER - 1)
    assert stake >= convert(R.node_stake, int256), "DEPOSIT_TOO_LOW"
    self._stake(seat, stake)


@external
def top_up(amount: int256):
    """
    @notice A registered seller or node adds to its deposit or stake.
    """
    seat: uint256 = self._member()
    assert not self._account(seat).banned, "BANNED"
    assert amount >= 1, "BAD_VALUE"
    self._stake(seat, amount)


@external
def request_withdrawal(amount: int256):
    """
    @notice Asks for part of a deposit or stake back; a new request replaces the old one.
    """
    seat: uint256 = self._member()
    account: Account = self._account(seat)
    assert amount >= 1, "BAD_VALUE"
    assert amount <= convert(account.stake, int256), "NOT_ENOUGH_MONEY"
    account.asked = convert(amount, uint256)
    account.asked_at = self._now()
    self._set_account(seat, account)
    log WithdrawalAsked(who=msg.sender, units=account.asked)


@external
def withdraw():
    """
    @notice Moves what was asked back, or what slashing left of it, to the balance of the caller.
            A node waits until no job runs that it could still be slashed for.
    """
    seat: uint256 = self._member()
    account: Account = self._account(seat)
    assert account.asked != 0, "WRONG_PHASE"
    assert self._now() - account.asked_at >= R.withdrawal_delay, "TOO_EARLY"
    assert seat <= NODES_AFTER or not self._is_any_running(), "TOO_EARLY"
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
    assert self._caller() == ARBITER, "NOT_AUTHORISED"
    seat: uint256 = self.seat_of[target]
    assert seat > BUYERS and seat < ARBITER, "UNKNOWN_PARTY"
    account: Account = self._account(seat)
    assert account.banned != banned, "ALREADY_DONE"
    account.banned = banned
    self._set_account(seat, account)
    log Barred(who=target, banned=banned)


# Auction


@external
def bid(job: int256, tags: int256, amount: int256, tau_bps: int256):
    """
    @notice A buyer bids; its money is locked and the outbid buyer gets its own back at once.
    """
    seat: uint256 = 0
    j: Job = empty(Job)
    seat, j = self._enter(job, 1, BUYERS, 1 << IDLE | 1 << AUCTION)
    slot: uint256 = convert(job, uint256)
    running: bool = j.phase == AUCTION
    now: uint256 = self._now()
    if running:
        assert now - j.since < R.auction_window, "TOO_LATE"
    assert self._is_lane(tags) and tau_bps >= 0 and tau_bps <= convert(BPS, int256), "BAD_VALUE"
    wanted: uint256 = convert(tags, uint256)
    least: uint256 = R.reserve
    if running:
        assert wanted == j.tags, "WRONG_TAGS"
        assert seat != j.buyer, "ALREADY_LEADING"
        least = j.best_bid + max(self._part(j.best_bid, R.min_increment_bps), 1)
    else:
        for other: uint256 in range(JOBS, bound=MAX_JOBS):
            word: uint256 = self.jobs[other][0]
            assert word & LANE != AUCTION or (word >> 64) & LANE != wanted, "TAGS_TAKEN"
        j.since = now
    assert amount >= convert(least, int256), "BID_TOO_LOW"
    units: uint256 = convert(amount, uint256)
    self._debit(seat, units)
    if running:
        self._credit(j.buyer, j.escrow)
    j.phase = AUCTION
    j.tags = wanted
    j.buyer = seat
    j.tau_bps = convert(tau_bps, uint256)
    j.second_bid = j.best_bid
    j.best_bid = units
    j.escrow = units
    self._set_job(slot, j)
    log Bid(job=slot, buyer=msg.sender, tags=wanted, units=units, tau_bps=j.tau_bps)


@external
def close_auction(job: int256):
    """
    @notice Anybody closes an auction whose window is over: the price is fixed and split into pools.
    """
    j: Job = self._enter(job, 1, ARBITER, 1 << AUCTION)[1]
    slot: uint256 = convert(job, uint256)
    assert self._now() - j.since >= R.auction_window, "TOO_EARLY"
    price: uint256 = j.best_bid
    if R.second_price == 1:
        price = min(max(R.reserve, j.second_bid), j.best_bid)
    self._credit(j.buyer, j.escrow - price)
    j.phase = CLOSED
    j.since = self._now()
    j.price = price
    j.escrow = 0
    j.seller_pool = self._part(price, R.seller_bps)
    j.fee_pool = self._part(price, R.fee_bps)
    j.compute_pool = price - j.seller_pool - j.fee_pool
    self._set_job(slot, j)
    log Priced(job=slot, price=price)


@external
def match_sellers(job: int256):
    """
    @notice Anybody has the eligible sellers of a closed auction matched and their deposits locked;
            with too few of them the job is aborted and the buyer gets all back but the fee.
    """
    j: Job = self._enter(job, 1, ARBITER, 1 << CLOSED)[1]
    slot: uint256 = convert(job, uint256)
    number: uint256 = 0
    for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
        number += convert(self._is_eligible(i, j.tags), uint256)
    log Matched(job=slot, sellers=number)
    if number < max(R.min_sellers, 1):
        self._finish(slot, j, ABORTED, 0, max(j.fee_pool, 1))
        return
    for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
        if self._is_eligible(i, j.tags):
            account: Account = self._account(BUYERS + 1 + i)
            account.stake -= R.seller_deposit
            self._set_account(BUYERS + 1 + i, account)
            place: Place = Place(locked=R.seller_deposit, weight=0, matched=True, excluded=False)
            self._set_place(slot, i, place)
    j.phase = MATCHED
    j.since = self._now()
    self._set_job(slot, j)


# Rounds and the end of a job


@external
def settle_round(job: int256, outcomes: DynArray[int256, MAX_NODES]):
    """
    @notice The arbiter books one round of CONE: slashes, then pays the nodes that agreed.
    @param outcomes One per node: 0 not drawn, 1 agreed, 2 wrong, 3 silent.
    """
    j: Job = self._enter(job, ARBITER, ARBITER, 1 << MATCHED | 1 << TRAINING)[1]
    slot: uint256 = convert(job, uint256)
    assert len(outcomes) == NODES, "BAD_VALUE"
    slashed: uint256 = 0
    number: uint256 = 0
    seat: uint256 = NODES_AFTER
    for outcome: int256 in outcomes:
        seat += 1
        assert outcome >= NOT_DRAWN and outcome <= SILENT, "BAD_VALUE"
        if outcome == NOT_DRAWN:
            continue
        if outcome == AGREED:
            number += convert(self._is_active(seat), uint256)
        elif outcome == WRONG:
            slashed += self._slash_stake(seat, R.slash_wrong_bps, False)
        else:
            slashed += self._slash_stake(seat, R.slash_silent_bps, False)
    kept: uint256 = self._burn(slashed)
    reward: uint256 = min(R.reward_cap, (self._round_money(j.price) + kept) // max(number, 1))
    seat = NODES_AFTER
    for outcome: int256 in outcomes:
        seat += 1
        if outcome == AGREED and self._is_active(seat):
            self._credit(seat, reward)
    spent: uint256 = reward * number
    j.compute_pool = j.compute_pool + kept - spent
    # Slashed money can be staked and slashed again: the totals may pass a lane, no sum of money does.
    # Then both are lowered by the same, so that their difference stays exact.
    j.compensation += kept
    j.compute_paid += spent
    over: uint256 = max(max(j.compensation, j.compute_paid), INT_MAX) - INT_MAX
    j.compensation -= over
    j.compute_paid -= over
    j.round += 1
    j.phase = TRAINING
    if j.round >= R.num_rounds:
        j.phase = VERIFY
    j.since = self._now()
    self._set_job(slot, j)
    log RoundSettled(job=slot, round=j.round, paid=spent, slashed=slashed)


@external
def rate_sellers(job: int256, verdicts: DynArray[int256, MAX_SELLERS]):
    """
    @notice The arbiter books what the defence said of the sellers in a round; no money moves.
    @param verdicts One per seller: 0 not sampled, 1 accepted, 2 flagged.
    """
    self._enter(job, ARBITER, ARBITER, 1 << TRAINING | 1 << VERIFY)
    slot: uint256 = convert(job, uint256)
    assert len(verdicts) == SELLERS, "BAD_VALUE"
    i: uint256 = 0
    for verdict: int256 in verdicts:
        assert verdict >= NOT_SAMPLED and verdict <= FLAGGED, "BAD_VALUE"
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
    @notice The arbiter punishes a matched seller on evidence of harm: part of its locked deposit,
            its pay in this job, and a ban.
    """
    j: Job = self._enter(
        job, ARBITER, ARBITER, 1 << MATCHED | 1 << TRAINING | 1 << VERIFY | 1 << CHALLENGE
    )[1]
    slot: uint256 = convert(job, uint256)
    seat: uint256 = self.seat_of[target]
    assert self._is_matched(slot, seat), "UNKNOWN_PARTY"
    assert not self._place(slot, seat - BUYERS - 1).excluded, "ALREADY_DONE"
    units: uint256 = self._slash_deposit(slot, seat)
    self._credit(j.buyer, self._burn(units))
    log SellerSlashed(job=slot, who=target, units=units)


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
    j: Job = self._enter(job, ARBITER, ARBITER, 1 << TRAINING | 1 << VERIFY)[1]
    slot: uint256 = convert(job, uint256)
    top: int256 = convert(BPS, int256)
    assert metric_bps >= 0 and metric_bps <= top, "BAD_VALUE"
    assert base_metric_bps >= 0 and base_metric_bps <= top, "BAD_VALUE"
    assert len(weights) == SELLERS, "BAD_VALUE"
    i: uint256 = 0
    for weight: int256 in weights:
        assert weight >= 0 and weight <= MAX_WEIGHT, "BAD_VALUE"
        place: Place = self._place(slot, i)
        if place.matched:
            place.weight = convert(weight, uint256)
            self._set_place(slot, i, place)
        i += 1
    j.metric_bps = convert(metric_bps, uint256)
    j.base_bps = convert(base_metric_bps, uint256)
    assert j.phase == VERIFY or j.metric_bps >= j.tau_bps, "TOO_EARLY"
    j.phase = CHALLENGE
    j.since = self._now()
    self._set_job(slot, j)
    log MetricReported(job=slot, metric_bps=j.metric_bps)


@external
def settle(job: int256):
    """
    @notice Anybody settles an undisputed job after the challenge window, once: all are paid, or,
            with a metric below tau, the buyer is refunded (less a partial payment and the fee, if
            the rules say so).
    """
    j: Job = self._enter(job, 1, ARBITER, 1 << CHALLENGE)[1]
    slot: uint256 = convert(job, uint256)
    assert self._now() - j.since >= R.challenge_window, "TOO_EARLY"
    if j.metric_bps >= j.tau_bps:
        self._finish(slot, j, SETTLED, j.seller_pool, j.fee_pool)
        return
    earned: uint256 = 0
    if R.partial_payment == 1 and j.metric_bps > j.base_bps:
        earned = j.seller_pool * (j.metric_bps - j.base_bps) // (j.tau_bps - j.base_bps)
    fee: uint256 = j.fee_pool
    if R.refund_fee == 1:
        fee = 0
    self._finish(slot, j, REFUNDED, earned, fee)


@external
def time_out(job: int256):
    """
    @notice Anybody ends a job that made no progress for long: the buyer is refunded, less the fee
            if its sellers were never matched.
    """
    j: Job = self._enter(
        job,
        1,
        ARBITER,
        1 << CLOSED | 1 << MATCHED | 1 << TRAINING | 1 << VERIFY | 1 << DISPUTED,
    )[1]
    assert self._now() - j.since >= R.timeout, "TOO_EARLY"
    fee: uint256 = 0
    if j.phase == CLOSED:
        fee = max(j.fee_pool, 1)
    self._finish(convert(job, uint256), j, REFUNDED, 0, fee)


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
    log Cleared(job=slot)


# Disputes


@external
def open_dispute(job: int256, accused: address, disputed_round: int256):
    """
    @notice A party of the job stakes a bond against a node or seller; the job waits for the arbiter.
    """
    seat: uint256 = 0
    j: Job = empty(Job)
    seat, j = self._enter(job, 1, ARBITER, 1 << CHALLENGE)
    slot: uint256 = convert(job, uint256)
    assert seat == j.buyer or self._works(slot, seat), "NOT_AUTHORISED"
    assert self._now() - j.since < R.challenge_window, "TOO_LATE"
    other: uint256 = self.seat_of[accused]
    assert other != seat and self._works(slot, other), "UNKNOWN_PARTY"
    assert disputed_round >= 0 and disputed_round < convert(j.round, int256), "BAD_VALUE"
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
    @param findings One per node: what it did in the re-execution (0 to 3, as in a round), or 4 if
           it was wrong in what is disputed (which means nothing if rejected).
    """
    j: Job = self._enter(job, ARBITER, ARBITER, 1 << DISPUTED)[1]
    slot: uint256 = convert(job, uint256)
    assert ruling >= REJECTED and ruling <= REPORT_AGAIN and len(findings) == NODES, "BAD_VALUE"
    slashed: uint256 = 0
    number: uint256 = 0
    seat: uint256 = NODES_AFTER
    for finding: int256 in findings:
        seat += 1
        assert finding >= NOT_DRAWN and finding <= GUILTY, "BAD_VALUE"
        if ruling != REJECTED and (finding == GUILTY or seat == j.accused):
            slashed += self._slash_stake(seat, R.slash_wrong_bps, True)
        elif finding == AGREED:
            number += convert(self._is_active(seat), uint256)
        elif finding == WRONG:
            slashed += self._slash_stake(seat, R.slash_wrong_bps, False)
        elif finding == SILENT:
            slashed += self._slash_stake(seat, R.slash_silent_bps, False)
    if ruling != REJECTED and self._is_matched(slot, j.accused):
        slashed += self._slash_deposit(slot, j.accused)
    pot: uint256 = self._burn(slashed)
    if ruling == REJECTED:
        pot += j.bond
    reward: uint256 = min(R.reward_cap, min(pot, self._round_money(j.price)) // max(number, 1))
    if reward > 0 and number > 0:
        seat = NODES_AFTER
        for finding: int256 in findings:
            seat += 1
            if finding == AGREED and self._is_active(seat):
                self._credit(seat, reward)
        pot -= reward * number
    if ruling == REJECTED:
        self.burned += pot
    else:
        prize: uint256 = min(pot, j.bond)
        self._credit(j.disputer, prize)
        self._credit(j.buyer, pot - prize)
    if ruling == UPHELD:
        self._finish(slot, j, REFUNDED, 0, 0)
    else:
        j.phase = CHALLENGE
        if ruling == REPORT_AGAIN:
            self._credit(j.disputer, j.bond)
            j.phase = VERIFY
        j.since = self._now()
        j.bond = 0
        j.disputer = 0
        j.accused = 0
        j.disputed_round = 0
        self._set_job(slot, j)
    log Resolved(job=slot, ruling=ruling, slashed=slashed)


# Views


@external
@view
def rules() -> Rules:
    return R


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
def place(slot: uint256, who: address) -> Place:
    return self._place(slot, self.seat_of[who] - BUYERS - 1)


# Who may


@view
@internal
def _caller() -> uint256:
    seat: uint256 = self.seat_of[msg.sender]
    assert seat != 0, "UNKNOWN_PARTY"
    return seat


@view
@internal
def _enter(job: int256, first: uint256, last: uint256, phases: uint256) -> (uint256, Job):
    """
    @dev The checks that all actions on a job begin with: seats `first` to `last` may act, in the
         given phases.
    """
    seat: uint256 = self._caller()
    assert job >= 0 and job < convert(JOBS, int256), "UNKNOWN_JOB"
    assert seat >= first and seat <= last, "NOT_AUTHORISED"
    j: Job = self._job(convert(job, uint256))
    if (phases >> j.phase) & 1 == 0:
        assert (FINISHED >> j.phase) & 1 == 0, "ALREADY_DONE"
        raise "WRONG_PHASE"
    return seat, j


@view
@internal
def _newcomer(first: uint256, last: uint256) -> uint256:
    seat: uint256 = self._caller()
    assert seat >= first and seat <= last, "NOT_AUTHORISED"
    account: Account = self._account(seat)
    assert not account.banned, "BANNED"
    assert not account.registered, "ALREADY_DONE"
    return seat


@view
@internal
def _member() -> uint256:
    seat: uint256 = self._caller()
    assert self._account(seat).registered, "NOT_REGISTERED"
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
def _is_eligible(i: uint256, tags: uint256) -> bool:
    seat: uint256 = BUYERS + 1 + i
    if not self._is_active(seat):
        return False
    account: Account = self._account(seat)
    listing: Listing = self._listing(i)
    return (
        account.stake - min(account.asked, account.stake) >= R.seller_deposit
        and tags & listing.tags == tags
        and listing.reputation_bps >= R.min_reputation_bps
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
    if seat <= NODES_AFTER:
        for slot: uint256 in range(JOBS, bound=MAX_JOBS):
            if self._place(slot, seat - BUYERS - 1).locked > 0:
                return True
    return False


@view
@internal
def _is_any_running() -> bool:
    """
    @dev A job that is matched and not finished: any node can be slashed for it.
    """
    for slot: uint256 in range(JOBS, bound=MAX_JOBS):
        phase: uint256 = self.jobs[slot][0] & LANE
        if phase >= MATCHED and phase <= DISPUTED:
            return True
    return False


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
        listing: Listing = Listing(tags=0, size=0, reputation_bps=FIRST_REPUTATION)
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
    assert units <= self.accounts[seat] & LANE, "NOT_ENOUGH_MONEY"
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
def _burn(slashed: uint256) -> uint256:
    """
    @dev Burns its share (the units stay in the contract for good) and returns what is left.
    """
    units: uint256 = self._part(slashed, R.burn_bps)
    if units > 0:
        self.burned += units
    return slashed - units


@internal
def _slash_stake(seat: uint256, bps: uint256, bar: bool) -> uint256:
    account: Account = self._account(seat)
    if not account.registered:
        return 0
    units: uint256 = self._part(account.stake, bps)
    account.stake -= units
    account.banned = account.banned or bar
    self._set_account(seat, account)
    return units


@internal
def _slash_deposit(slot: uint256, seat: uint256) -> uint256:
    place: Place = self._place(slot, seat - BUYERS - 1)
    units: uint256 = self._part(place.locked, R.slash_harm_bps)
    place.locked -= units
    place.excluded = True
    self._set_place(slot, seat - BUYERS - 1, place)
    account: Account = self._account(seat)
    account.banned = True
    self._set_account(seat, account)
    return units


@internal
def _finish(slot: uint256, finished: Job, phase: uint256, pot: uint256, fee: uint256):
    """
    @dev Pays a job out and closes it; nothing stays behind. The sellers share `pot` by weight so
         that the parts add up: differences of floored cumulative shares.
    """
    j: Job = finished
    paid: uint256 = 0
    if j.phase != CLOSED:  # no seller is matched before
        total: uint256 = 0
        for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
            place: Place = self._place(slot, i)
            if not place.excluded:
                total += place.weight
        total = max(total, 1)
        shares: uint256 = 0
        for i: uint256 in range(SELLERS, bound=MAX_SELLERS):
            place: Place = self._place(slot, i)
            if place.matched:
                if not place.excluded:
                    shares += place.weight
                pay: uint256 = pot * shares // total - paid
                paid += pay
                account: Account = self._account(BUYERS + 1 + i)
                account.balance += pay
                account.stake += place.locked
                self._set_account(BUYERS + 1 + i, account)
                place.locked = 0
                self._set_place(slot, i, place)
    refund: uint256 = j.seller_pool + j.fee_pool + j.compute_pool - paid - fee
    self._credit(ARBITER, fee)
    self._credit(j.buyer, refund)
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
    j.refunded = refund
    self._set_job(slot, j)
    log Finished(job=slot, phase=phase, to_sellers=paid, to_arbiter=fee, to_buyer=refund)


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
        tags=word & LANE, size=(word >> 32) & LANE, reputation_bps=(word >> 64) & LANE
    )


@internal
def _set_listing(i: uint256, l: Listing):
    self.listings[i] = l.tags | l.size << 32 | l.reputation_bps << 64


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
        best_bid=w[1] & LANE,
        second_bid=(w[1] >> 32) & LANE,
        price=(w[1] >> 64) & LANE,
        escrow=(w[1] >> 96) & LANE,
        seller_pool=(w[1] >> 128) & LANE,
        compute_pool=(w[1] >> 160) & LANE,
        fee_pool=(w[1] >> 192) & LANE,
        bond=w[1] >> 224,
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
        j.best_bid
        | j.second_bid << 32
        | j.price << 64
        | j.escrow << 96
        | j.seller_pool << 128
        | j.compute_pool << 160
        | j.fee_pool << 192
        | j.bond << 224,
        j.disputer
        | j.accused << 32
        | j.disputed_round << 64
        | j.compensation << 96
        | j.compute_paid << 128
        | j.seller_paid << 160
        | j.fee_paid << 192
        | j.refunded << 224,
    ]
