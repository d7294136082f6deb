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
@dev This is the one address of the market. What happens between the match and the end of a job is a
     second piece of code, D2MJobs, which is run on the storage of this one (`__default__`).

     Who acts is who calls, and nobody has a key that others have not: what is to be paid follows
     from the decisions of the votes. Ether becomes integer units at `pay_in` and leaves at
     `pay_out` and `collect`, to the caller only (pull payments); in between all money moves inside
     the contract. Every loop runs over seats, whose number is fixed at deployment.
"""

from . import store

initializes: store

exports: (
    store.terms_hash,
    store.supply,
    store.burned,
    store.seat_of,
    store.owner_of,
    store.owed,
    store.commitment_of,
)

interface IJobs:
    def terms_hash() -> bytes32: view


FIRST_REPUTATION: constant(uint256) = 5_000


event Seated:
    who: indexed(address)
    account: uint256

event Unseated:
    who: indexed(address)
    owed: uint256

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


JOBS_CODE: public(immutable(address))  # never changed, and of the same terms


@deploy
def __init__(layout: store.Layout, rules: store.Rules, jobs_code: address):
    """
    @notice Fixes the layout, the rules and the second piece of code for good.
    @param jobs_code A D2MJobs that was created with the same layout and rules.
    """
    store.__init__(layout, rules)
    JOBS_CODE = jobs_code
    assert staticcall IJobs(jobs_code).terms_hash() == keccak256(abi_encode(layout, rules)), "CODE"
    self._seat(layout.treasury, store.TREASURY)


@external
@payable
@reentrant
def __default__():
    """
    @notice Everything that is not here is in the other piece of code, which has the same lock.
    """
    raw_call(JOBS_CODE, msg.data, is_delegate_call=True)


# Seats, and money in and out


@external
@payable
def join(account: int256):
    """
    @notice The caller takes an account of the layout (buyers, sellers, nodes) that nobody has, or
            whose owner is idle. Ether that is sent along comes in as by `pay_in`.
    @dev Seats are bounded because a round pays all nodes in one transaction. Who has at least what
         its role must put down, or has something in a job, cannot be put out.
    """
    store._check(account >= 0 and account < convert(store.TREASURY, int256) - 1, store.UNKNOWN_PARTY)
    store._check(store.seat_of[msg.sender] == 0, store.ALREADY_DONE)
    seat: uint256 = convert(account, uint256) + 1
    last: address = store.owner_of[seat]
    if last != empty(address):
        store._check(self._is_idle(seat), store.ALREADY_DONE)
        left: store.Account = store._account(seat)
        store.owed[last] += left.balance + left.stake
        store.seat_of[last] = 0
        store.accounts[seat] = 0
        store.commitment_of[seat] = empty(bytes32)
        log Unseated(who=last, owed=left.balance + left.stake)
    self._seat(msg.sender, seat)
    if msg.value > 0:
        self._take_ether(seat)


@external
@payable
def pay_in():
    """
    @notice Turns ether into units of the caller: a whole number of them.
    """
    self._take_ether(store._caller())


@external
def pay_out(amount: int256):
    """
    @notice Turns free units of the caller back into ether, sent to the caller.
    @dev Sending is its last step.
    """
    seat: uint256 = store._caller()
    store._check(amount >= 1, store.BAD_VALUE)
    units: uint256 = convert(amount, uint256)
    store._debit(seat, units)
    self._send_ether(units)


@external
def collect():
    """
    @notice Sends what was left on a seat to who has lost it.
    """
    units: uint256 = store.owed[msg.sender]
    store._check(units > 0, store.NOT_ENOUGH_MONEY)
    store.owed[msg.sender] = 0
    self._send_ether(units)


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
    seat: uint256 = self._newcomer(store.SELLERS_AFTER + 1, store.NODES_AFTER)
    store._check(self._is_count(tags) and self._is_count(size), store.BAD_VALUE)
    store._check(self._is_ask(ask, max_tau_bps), store.BAD_VALUE)
    store._check(deposit >= convert(store.R.seller_deposit, int256), store.DEPOSIT_TOO_LOW)
    self._stake(seat, deposit)
    listing: store.Listing = store._listing(seat - store.SELLERS_AFTER - 1)
    listing.tags = convert(tags, uint256)
    listing.size = convert(size, uint256)
    listing.ask = convert(ask, uint256)
    listing.max_tau_bps = convert(max_tau_bps, uint256)
    store._set_listing(seat - store.SELLERS_AFTER - 1, listing)
    store.commitment_of[seat] = commitment


@external
def set_ask(ask: int256, max_tau_bps: int256):
    """
    @notice A seller changes the terms it works for, but never while it could look at the bids.
    """
    seat: uint256 = store._caller()
    store._check(seat > store.SELLERS_AFTER and seat <= store.NODES_AFTER, store.NOT_AUTHORISED)
    self._member()
    store._check(self._is_ask(ask, max_tau_bps), store.BAD_VALUE)
    listing: store.Listing = store._listing(seat - store.SELLERS_AFTER - 1)
    for slot: uint256 in range(store.L.jobs, bound=store.MAX_JOBS):
        j: store.Job = store._job(slot)
        is_asked: bool = j.phase == store.AUCTION and j.tags & listing.tags == j.tags
        store._check(not is_asked, store.TOO_LATE)
    listing.ask = convert(ask, uint256)
    listing.max_tau_bps = convert(max_tau_bps, uint256)
    store._set_listing(seat - store.SELLERS_AFTER - 1, listing)
    log AskSet(who=msg.sender, units=listing.ask, max_tau_bps=listing.max_tau_bps)


@external
def register_node(stake: int256):
    """
    @notice A compute node joins the pool and moves a stake from its balance.
    """
    seat: uint256 = self._newcomer(store.NODES_AFTER + 1, store.TREASURY - 1)
    store._check(stake >= convert(store.R.node_stake, int256), store.DEPOSIT_TOO_LOW)
    self._stake(seat, stake)


@external
def top_up(amount: int256):
    """
    @notice A registered seller or node adds to its deposit or stake.
    """
    seat: uint256 = self._member()
    store._check(not store._account(seat).banned, store.BANNED)
    store._check(amount >= 1, store.BAD_VALUE)
    self._stake(seat, amount)


@external
def request_withdrawal(amount: int256):
    """
    @notice Asks for part of a deposit or stake back; a new request replaces the old one.
    """
    seat: uint256 = self._member()
    account: store.Account = store._account(seat)
    store._check(amount >= 1, store.BAD_VALUE)
    store._check(amount <= convert(account.stake, int256), store.NOT_ENOUGH_MONEY)
    account.asked = convert(amount, uint256)
    account.asked_at = block.number
    store._set_account(seat, account)
    log WithdrawalAsked(who=msg.sender, units=account.asked)


@external
def withdraw():
    """
    @notice Moves what was asked back, or what slashing left of it, to the balance of the caller.
            What is pledged to a job is no part of it.
    """
    seat: uint256 = self._member()
    account: store.Account = store._account(seat)
    store._check(account.asked != 0, store.WRONG_PHASE)
    store._check(block.number - account.asked_at >= store.R.withdrawal_delay, store.TOO_EARLY)
    units: uint256 = min(account.asked, account.stake)
    account.stake -= units
    account.balance += units
    account.asked = 0
    if account.stake == 0 and not self._is_locked(seat):
        account.registered = False
    store._set_account(seat, account)
    log Withdrawn(who=msg.sender, units=units)


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
    seat: uint256 = 0
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    seat, slot, j = self._bidder(job, tags, self._is_share(tau_bps), store.NOT_WHERE_SEALED)
    offer: store.Offer = store._offer(slot, seat)
    least: uint256 = store.R.reserve
    if offer.bid > 0:
        least = offer.bid + max(store._part(offer.bid, store.R.min_increment_bps), 1)
    store._check(amount >= convert(least, int256), store.BID_TOO_LOW)
    units: uint256 = convert(amount, uint256)
    store._debit(seat, units - offer.bid)
    if j.buyer == 0 or units > store._offer(slot, j.buyer).bid:
        j.buyer = seat
    j.since = block.number
    store._set_job(slot, j)
    offer = store.Offer(bid=units, deposit=units, tau_bps=convert(tau_bps, uint256), made=True)
    store._set_offer(slot, seat, offer)
    store.models[slot][seat - 1] = model
    store.metrics[slot][seat - 1] = metric
    log Bid(job=slot, buyer=msg.sender, tags=j.tags, units=units, tau_bps=offer.tau_bps)


@external
def seal(job: int256, tags: int256, deposit: int256, commitment: bytes32):
    """
    @notice A buyer commits to a bid, with a deposit that will have to cover it.
    @param commitment keccak256(abi.encode(job, buyer, amount, tau_bps, model, metric, salt)).
    """
    seat: uint256 = 0
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    seat, slot, j = self._bidder(job, tags, commitment != empty(bytes32), store.NOT_WHERE_OPEN)
    store._check(store.seals[slot][seat - 1] == empty(bytes32), store.ALREADY_DONE)
    store._check(deposit >= convert(store.R.reserve, int256), store.BID_TOO_LOW)
    units: uint256 = convert(deposit, uint256)
    store._debit(seat, units)
    store._set_job(slot, j)
    store._set_offer(slot, seat, store.Offer(bid=0, deposit=units, tau_bps=0, made=True))
    store.seals[slot][seat - 1] = commitment
    log Sealed(job=slot, buyer=msg.sender, tags=j.tags, deposit=units)


@external
def reveal(
    job: int256, amount: int256, tau_bps: int256, model: bytes32, metric: bytes32, salt: bytes32
):
    """
    @notice A buyer opens its seal, after the window for seals and before the close.
    """
    seat: uint256 = 0
    slot: uint256 = 0
    seat, slot = self._buyer(job, store.NOT_WHERE_OPEN)
    j: store.Job = store._in_phase(slot, 1 << store.AUCTION)
    waited: uint256 = block.number - j.since
    store._check(waited >= store.R.auction_window, store.TOO_EARLY)
    store._check(waited < store.R.auction_window + store.R.reveal_window, store.TOO_LATE)
    opened: bytes32 = keccak256(
        abi_encode(job, msg.sender, amount, tau_bps, model, metric, salt)
    )
    store._check(self._is_share(tau_bps) and store.seals[slot][seat - 1] == opened, store.BAD_VALUE)
    store._check(amount >= convert(store.R.reserve, int256), store.BID_TOO_LOW)
    offer: store.Offer = store._offer(slot, seat)
    store._check(amount <= convert(offer.deposit, int256), store.NOT_ENOUGH_MONEY)
    store._check(offer.bid == 0, store.ALREADY_DONE)
    offer.bid = convert(amount, uint256)
    offer.tau_bps = convert(tau_bps, uint256)
    store._set_offer(slot, seat, offer)
    store.models[slot][seat - 1] = model
    store.metrics[slot][seat - 1] = metric
    self._stir(slot, j, keccak256(abi_encode(seat, salt)))
    log Revealed(job=slot, buyer=msg.sender, units=offer.bid, tau_bps=offer.tau_bps)



@external
def close_auction(job: int256):
    """
    @notice Anybody closes an auction whose windows are over: the price is fixed, deposits go back
            (part of those that were not revealed is burned), and the sellers that fit and have
            consented are matched, their deposits locked and what the nodes offer pledged. With too
            few of either the job is aborted and the buyer has all back. One step, so that nobody
            leaves between the price and the match.
    """
    slot: uint256 = 0
    j: store.Job = empty(store.Job)
    slot, j = store._enter(job, 1 << store.AUCTION)
    waited: uint256 = block.number - j.since
    ends: uint256 = store.R.auction_window + store.R.sealed * store.R.reveal_window
    store._check(waited >= ends, store.TOO_EARLY)
    p: store.Purse = empty(store.Purse)
    j, p = self._price(slot, j)
    sellers: uint256 = 0  # one bit each
    number: uint256 = 0
    if j.buyer != 0:
        sellers, number = self._candidates(slot, j, p.seller_pool)
    log AuctionClosed(job=slot, buyer=store.owner_of[j.buyer], price=p.price, sellers=number)
    if store.R.sealed == 0:
        self._freeze(slot, j.since)
    if number >= max(store.R.min_sellers, 1) and self._pledge(slot, j.since):
        self._lock(slot, sellers)
        salts: bytes32 = store.seeds[slot] if j.frozen else empty(bytes32)
        store.seeds[slot] = keccak256(abi_encode(salts, block.prevrandao))
        j.phase = store.MATCHED
        j.serial += 1
    else:
        store._credit(j.buyer, p.price)
        j.phase = store.ABORTED
        p = store.Purse(
            price=p.price,
            seller_pool=0,
            compute_pool=0,
            fee_pool=0,
            bond=0,
            compensation=0,
            compute_paid=0,
            seller_paid=0,
            fee_paid=0,
            refunded=p.price,
            forfeited=0,
        )
    j.since = block.number
    store._set_job(slot, j)
    store._set_purse(slot, p)


# What the votes read


@external
@view
def wanted(slot: uint256) -> (uint256, uint256, bytes32):
    """
    @return Serial and number of the unit that a job waits for (0: none), and the seed of the job.
    """
    j: store.Job = store._job(slot)
    unit: uint256 = j.round
    if j.phase == store.VERIFY and j.opened:
        unit = store.R.num_rounds
    elif j.phase == store.DISPUTED and store.R.bisection == 0:
        unit = store.R.num_rounds + j.disputed  # which is one more than the unit
    elif j.phase != store.MATCHED and j.phase != store.TRAINING:
        return 0, 0, empty(bytes32)
    return j.serial, unit, store.seeds[slot]


@external
@view
def for_votes() -> (address, uint256, uint256, uint256, uint256, uint256, uint256):
    """
    @return What the votes must agree with: their address, slots, nodes, sellers, rounds, the
            blocks after a draw in which a content can be told, and those of a time-out.
    """
    return (
        store.L.votes,
        store.L.jobs,
        store.L.nodes,
        store.L.sellers,
        store.R.num_rounds,
        store.R.content_window,
        store.R.timeout,
    )


@external
@view
def electorate(slot: uint256) -> DynArray[uint256, store.MAX_NODES // 4]:
    """
    @return What each node has pledged to the job and may still lose, four to the word.
    """
    found: DynArray[uint256, store.MAX_NODES // 4] = []
    word: uint256 = 0
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        if store._is_active(store.NODES_AFTER + 1 + n):
            word |= (store.posts[slot][n] & store.MONEY) << 64 * (n % 4)
        if n % 4 == 3 or n + 1 == store.L.nodes:
            found.append(word)
            word = 0
    return found


@external
@view
def node_of(who: address) -> uint256:
    """
    @return Number of the node that an address is, plus one; 0 if it is none.
    """
    seat: uint256 = store.seat_of[who]
    if seat <= store.NODES_AFTER or seat == store.TREASURY:
        return 0
    return seat - store.NODES_AFTER


# Views


@external
@view
def rules() -> store.Rules:
    return store.R


@external
@view
def layout() -> store.Layout:
    return store.L


@external
@view
def account(who: address) -> store.Account:
    return store._account(store.seat_of[who])


@external
@view
def listing(who: address) -> store.Listing:
    return store._listing(store.seat_of[who] - store.SELLERS_AFTER - 1)


@external
@view
def job(slot: uint256) -> (store.Job, store.Purse):
    return store._job(slot), store._purse(slot)


@external
@view
def offer(slot: uint256, who: address) -> (store.Offer, bytes32, bytes32, bytes32):
    """
    @return What a buyer bid; its seal, and the digests of its model and metric.
    """
    u: uint256 = store.seat_of[who] - 1
    return (
        store._offer(slot, u + 1),
        store.seals[slot][u],
        store.models[slot][u],
        store.metrics[slot][u],
    )


@external
@view
def post(slot: uint256, who: address) -> store.Post:
    return store._post(slot, store.seat_of[who] - store.NODES_AFTER - 1)


@external
@view
def place(slot: uint256, who: address) -> store.Place:
    return store._place(slot, store.seat_of[who] - store.SELLERS_AFTER - 1)


@external
@view
def booked(slot: uint256, unit: uint256) -> (bytes32, bytes32):
    """
    @return The accepted digest of a unit, and what the digests revealed for it hash to. Of units
            that this job has not booked: those of an earlier job.
    """
    return store.results[slot][unit], store.papers[slot][unit]


# Who may


@view
@internal
def _buyer(job: int256, format: uint256) -> (uint256, uint256):
    """
    @dev Seat and slot of a buyer's action, which is known where bids are open, or sealed.
    """
    seat: uint256 = store._caller()
    slot: uint256 = store._slot(job)
    store._check(seat <= store.SELLERS_AFTER, store.NOT_AUTHORISED)
    store._check(format & (store.NOT_WHERE_OPEN << store.R.sealed) == 0, store.WRONG_FORMAT)
    return seat, slot


@view
@internal
def _bidder(
    job: int256, tags: int256, is_good: bool, format: uint256
) -> (uint256, uint256, store.Job):
    """
    @dev The checks that bids and seals begin with; the first one opens the auction.
    """
    seat: uint256 = 0
    slot: uint256 = 0
    seat, slot = self._buyer(job, format)
    j: store.Job = store._in_phase(slot, 1 << store.IDLE | 1 << store.AUCTION)
    is_open: bool = j.phase == store.AUCTION
    in_time: bool = not is_open or block.number - j.since < store.R.auction_window
    store._check(in_time, store.TOO_LATE)
    store._check(self._is_count(tags) and is_good, store.BAD_VALUE)
    wanted: uint256 = convert(tags, uint256)
    if is_open:
        store._check(wanted == j.tags, store.WRONG_TAGS)
        return seat, slot, j
    for other: uint256 in range(store.L.jobs, bound=store.MAX_JOBS):
        rival: store.Job = store._job(other)
        is_taken: bool = rival.phase == store.AUCTION and rival.tags == wanted
        store._check(not is_taken, store.TAGS_TAKEN)
    j.phase = store.AUCTION
    j.tags = wanted
    j.since = block.number
    return seat, slot, j


@view
@internal
def _newcomer(first: uint256, last: uint256) -> uint256:
    seat: uint256 = store._caller()
    store._check(seat >= first and seat <= last, store.NOT_AUTHORISED)
    account: store.Account = store._account(seat)
    store._check(not account.banned, store.BANNED)
    store._check(not account.registered, store.ALREADY_DONE)
    return seat


@view
@internal
def _member() -> uint256:
    seat: uint256 = store._caller()
    store._check(store._account(seat).registered, store.NOT_REGISTERED)
    return seat


@view
@internal
def _is_idle(seat: uint256) -> bool:
    """
    @dev Has less than what its role must put down, and nothing in a job or an auction.
    """
    least: uint256 = store.R.node_stake
    if seat <= store.SELLERS_AFTER:
        least = store.R.reserve
    elif seat <= store.NODES_AFTER:
        least = max(store.R.seller_deposit, 1)
    account: store.Account = store._account(seat)
    if account.balance + account.stake >= least:
        return False
    for slot: uint256 in range(store.L.jobs, bound=store.MAX_JOBS):
        j: store.Job = store._job(slot)
        if j.phase == store.IDLE or (store.FINISHED >> j.phase) & 1 == 1:
            continue
        if seat == j.buyer or seat == j.disputer:
            return False
        if seat <= store.SELLERS_AFTER:
            if store._offer(slot, seat).made:
                return False
        elif seat <= store.NODES_AFTER:
            if store._place(slot, seat - store.SELLERS_AFTER - 1).matched:
                return False
        elif j.frozen or j.phase != store.AUCTION:
            if store._post(slot, seat - store.NODES_AFTER - 1).offered > 0:
                return False
    return True


@view
@internal
def _is_locked(seat: uint256) -> bool:
    """
    @dev Money of a seller or node lies in a job.
    """
    for slot: uint256 in range(store.L.jobs, bound=store.MAX_JOBS):
        if seat <= store.NODES_AFTER:
            if store._place(slot, seat - store.SELLERS_AFTER - 1).locked > 0:
                return True
        else:
            p: store.Post = store._post(slot, seat - store.NODES_AFTER - 1)
            if p.pledged + p.held + p.earned > 0:
                return True
    return False


@pure
@internal
def _is_share(bps: int256) -> bool:
    return bps >= 0 and bps <= convert(store.BPS, int256)


@pure
@internal
def _is_ask(ask: int256, max_tau_bps: int256) -> bool:
    is_money: bool = ask >= 0 and ask <= convert(store.MONEY_MAX, int256)
    return is_money and self._is_share(max_tau_bps)


@pure
@internal
def _is_count(number: int256) -> bool:
    return number >= 1 and number <= convert(store.INT_MAX, int256)


@view
@internal
def _free(seat: uint256, since: uint256) -> uint256:
    """
    @dev What an active seller or node could pledge. What was asked back since the auction's first
         seal, or last bid, still counts: nobody leaves because of a price that is known.
    """
    if not store._is_active(seat):
        return 0
    account: store.Account = store._account(seat)
    if account.asked_at < since:
        return account.stake - min(account.asked, account.stake)
    return account.stake


@view
@internal
def _candidates(slot: uint256, j: store.Job, pool: uint256) -> (uint256, uint256):
    """
    @dev The sellers that fit and consent, one bit each, and their number.
    """
    chosen: uint256 = 0
    number: uint256 = 0
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        seat: uint256 = store.SELLERS_AFTER + 1 + i
        listing: store.Listing = store._listing(i)
        if (
            j.tags & listing.tags == j.tags
            and listing.reputation_bps >= store.R.min_reputation_bps
            and listing.ask <= pool
            and listing.max_tau_bps >= j.tau_bps
            and store._is_active(seat)
            and self._free(seat, j.since) >= store.R.seller_deposit
        ):
            number += 1
            chosen |= 1 << i
    return chosen, number


# Seats and money


@internal
def _seat(who: address, seat: uint256):
    store.seat_of[who] = seat
    store.owner_of[seat] = who
    if seat > store.SELLERS_AFTER and seat <= store.NODES_AFTER:
        listing: store.Listing = empty(store.Listing)
        listing.reputation_bps = FIRST_REPUTATION
        store._set_listing(seat - store.SELLERS_AFTER - 1, listing)
    log Seated(who=who, account=seat - 1)


@internal
@payable
def _take_ether(seat: uint256):
    units: uint256 = msg.value // store.L.unit
    store._check(units >= 1 and units * store.L.unit == msg.value, store.BAD_VALUE)
    store._check(units <= store.MONEY_MAX - store.supply, store.SUPPLY_LIMIT)
    store.supply += units
    store._credit(seat, units)
    log PaidIn(who=msg.sender, units=units)


@internal
def _send_ether(units: uint256):
    """
    @dev The only call of an account that could be anything; nothing is written after it.
    """
    store.supply -= units
    log PaidOut(who=msg.sender, units=units)
    raw_call(msg.sender, b"", value=units * store.L.unit)


@internal
def _stake(seat: uint256, amount: int256):
    """
    @dev From the balance to the stake; the caller is registered from now on.
    """
    units: uint256 = convert(amount, uint256)
    store._debit(seat, units)
    account: store.Account = store._account(seat)
    account.stake += units
    account.registered = True
    store._set_account(seat, account)
    log Staked(who=msg.sender, units=units)


@internal
def _stir(slot: uint256, before: store.Job, lot: bytes32):
    """
    @dev A salt goes into the seed of the job, a sum without order, to which the close adds chance
         that no bidder has chosen. With the first salt that can be seen it is fixed what the nodes
         offer: who joins later could choose by the seed.
    """
    if before.frozen:
        store.seeds[slot] ^= lot
        return
    store.seeds[slot] = lot
    self._freeze(slot, before.since)
    j: store.Job = before
    j.frozen = True
    store._set_job(slot, j)


@internal
def _freeze(slot: uint256, since: uint256):
    """
    @dev Writes what every node offers, over what an earlier job has left there.
    """
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        units: uint256 = self._free(store.NODES_AFTER + 1 + n, since)
        if units < store.R.node_stake:
            units = 0
        elif store.R.by_stake == 0:
            units = store.R.node_stake
        store.posts[slot][n] = units << 192


@internal
def _pledge(slot: uint256, since: uint256) -> bool:
    """
    @dev Takes from the nodes what they have offered and still have free; nothing, if too few have.
    """
    chosen: uint256[store.NODE_BITS] = empty(uint256[store.NODE_BITS])
    number: uint256 = 0
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        units: uint256 = store.posts[slot][n] >> 192
        if units > 0 and self._free(store.NODES_AFTER + 1 + n, since) >= units:
            chosen[n // 256] |= 1 << n % 256
            number += 1
    if number < store.R.min_nodes:
        return False
    for n: uint256 in range(store.L.nodes, bound=store.MAX_NODES):
        if (chosen[n // 256] >> n % 256) & 1 == 1:
            units: uint256 = store.posts[slot][n] >> 192
            store.accounts[store.NODES_AFTER + 1 + n] -= units << 64
            store.posts[slot][n] += units
    return True


@internal
def _lock(slot: uint256, sellers: uint256):
    """
    @dev The deposits of matched sellers.
    """
    for i: uint256 in range(store.L.sellers, bound=store.MAX_SELLERS):
        if (sellers >> i) & 1 == 1:
            store.accounts[store.SELLERS_AFTER + 1 + i] -= store.R.seller_deposit << 64
            place: store.Place = empty(store.Place)
            place.locked = store.R.seller_deposit
            place.matched = True
            store._set_place(slot, i, place)


@internal
def _price(slot: uint256, auction: store.Job) -> (store.Job, store.Purse):
    """
    @dev Winner and price; all deposits go back less the price and what the unrevealed lose. Of the
         bids the highest wins, ties to the lowest seat; where bids are open, to who came first.
    """
    j: store.Job = auction
    p: store.Purse = empty(store.Purse)
    best: uint256 = 0
    others: uint256 = 0
    lost: uint256 = 0
    for u: uint256 in range(store.L.buyers, bound=store.MAX_BUYERS):
        offer: store.Offer = store._offer(slot, u + 1)
        if not offer.made:
            continue
        if offer.bid > best:
            others = best
            best = offer.bid
            if store.R.sealed == 1:
                j.buyer = u + 1
        else:
            others = max(others, offer.bid)
        back: uint256 = offer.deposit
        if offer.bid == 0:
            back -= store._part(offer.deposit, store.R.unrevealed_bps)
            lost += offer.deposit - back
        store._credit(u + 1, back)
        offer.deposit = 0
        store._set_offer(slot, u + 1, offer)
    if lost > 0:
        store.burned += lost
    p.price = best
    if store.R.second_price == 1:
        p.price = min(max(store.R.reserve, others), best)
    if j.buyer != 0:
        store._debit(j.buyer, p.price)
        j.tau_bps = store._offer(slot, j.buyer).tau_bps
    p.seller_pool = store._part(p.price, store.R.seller_bps)
    p.fee_pool = store._part(p.price, store.R.fee_bps)
    p.compute_pool = p.price - p.seller_pool - p.fee_pool
    return j, p
