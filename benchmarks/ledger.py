"""A million random actions through vmapped ledgers with votes, all invariants checked after each.

    python benchmarks/ledger.py
    python benchmarks/ledger.py --num_worlds=512 --num_steps=128 --num_slow=0

Three jobs at once, from bids to votes, bookings and disputes. The actions of some of the worlds are
then played by the slow ledger of the tests: receipts and the whole state at the end must be the
same.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from d2m_jax import ledger as L
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.tables import vote_tables
from d2m_jax.ledger import Kind, Phase, Reason
from d2m_jax.ledger.contents import commitment_of, task_of
from d2m_jax.ledger.mixing import mix_all
from d2m_jax.ledger.votes import get_unit, next_size
from d2m_jax.ledger.votes_state import Stage, Terms, Votes, make_terms

NUM_WORLDS = flags.DEFINE_integer("num_worlds", 2_048, "chains side by side", lower_bound=1)
NUM_STEPS = flags.DEFINE_integer("num_steps", 512, "actions of each chain", lower_bound=1)
NUM_SLOW = flags.DEFINE_integer("num_slow", 8, "worlds played by the slow ledger", lower_bound=0)
SEALED = flags.DEFINE_integer("sealed", 1, "1: sealed auctions, 0: ascending", 0, 1)
SEED = flags.DEFINE_integer("seed", 0, "seed of all worlds")

LAYOUT = L.Layout(num_buyers=4, num_sellers=6, num_nodes=8, num_jobs=3, num_units=3)
FUNDS, ROUNDS, SETS = 20_000, 2, 3
VOTE = {"base": 2, "f_max": 0.33, "beta": 0.1}
RULES = {
    **L.DEFAULT_RULES,
    **{"auction_window": 3, "reveal_window": 3, "challenge_window": 6, "content_window": 5},
    **{"timeout": 20, "withdrawal_delay": 20, "slash_wrong_bps": 3_000},
    **{"num_rounds": ROUNDS, "min_sellers": 2, "partial_payment": 1},
}
LIKELY = {  # beside the votes, and a little of everything
    Phase.IDLE: {Kind.BID: 20, Kind.SEAL: 20},
    Phase.AUCTION: {Kind.BID: 6, Kind.SEAL: 6, Kind.REVEAL: 8, Kind.CLOSE_AUCTION: 6},
    Phase.MATCHED: {Kind.OPEN_METRIC: 4},
    Phase.TRAINING: {Kind.OPEN_METRIC: 4},
    Phase.VERIFY: {Kind.OPEN_METRIC: 4},
    Phase.CHALLENGE: {Kind.OPEN_DISPUTE: 10, Kind.TAKE: 2, Kind.SETTLE: 8},
    Phase.SETTLED: {Kind.RESET_JOB: 30},
    Phase.REFUNDED: {Kind.RESET_JOB: 30},
    Phase.ABORTED: {Kind.RESET_JOB: 30},
}
BOOKINGS = {Phase.VERIFY: Kind.BOOK_VERIFICATION, Phase.DISPUTED: Kind.BOOK_DISPUTE}
BIDDING = jnp.asarray([Kind.BID, Kind.SEAL, Kind.REVEAL])
CONTENT, SALT = 4, 5  # what every buyer opens as its examples; the salt of every vote, too
METRIC = int(L.digest_of(CONTENT, SALT))
REQUEST = {"tau_bps": 5_000, "model": 1, "metric": METRIC, "salt": 3}  # what every seal holds
OWNERS = jnp.asarray([Kind.TAKE, Kind.OPEN_METRIC])
BALLOTS = jnp.asarray([Kind.COMMIT_VOTE, Kind.REVEAL_VOTE])
WEIGHTS = np.full((len(Phase), len(Kind) + 1), 0.1, np.float32)
WEIGHTS[:, Kind.WAIT] = 3.0
WEIGHTS[:, [Kind.REGISTER_SELLER, Kind.REGISTER_NODE]] = 3.0
for _phase, _kinds in LIKELY.items():
    for _kind, _weight in _kinds.items():
        WEIGHTS[_phase, _kind] += _weight


def numbers() -> dict[str, int]:
    """The rules of all worlds."""
    return {**RULES, "sealed": SEALED.value}


def laws() -> L.Laws:
    """Rules and terms of all worlds."""
    tables = vote_tables(LAYOUT.num_nodes, ConeParams(**VOTE), max_attempts=SETS)
    return L.Laws(L.make_rules(**numbers()), make_terms(tables, num_rounds=ROUNDS))


def flavours(task: jax.Array) -> jax.Array:
    """[3, L] contents among which nodes choose: the usual one, another, and one that is void.

    The third verifies a model that nobody asked for, or is no content of a round.
    """
    parts = jnp.zeros((3, 2 * LAYOUT.num_sellers), jnp.int32)
    parts = parts.at[:, : LAYOUT.num_sellers].set(jnp.asarray([[1], [2], [0]], jnp.int32))
    heads = [[9_000, 100, 1, METRIC, 5], [3_000, 100, 1, METRIC, 5], [9_000, 100, 2, METRIC, 5]]
    rounds = [[0, 0, 8, 0, 0], [6_000, 0, 9, 0, 0], [20_000, 0, 9, 0, 0]]
    heads = jnp.where(task == ROUNDS, jnp.asarray(heads, jnp.int32), jnp.asarray(rounds, jnp.int32))
    return jnp.concatenate([heads, parts], axis=1)


def opinion(row: Votes, node: jax.Array) -> jax.Array:
    """[] int32 flavour for which a node votes: mostly that of the unit, by lot among the three."""
    common = jnp.asarray([0, 0, 1, 0, 1, 2, 0], jnp.int32)[(row.serial * 5 + row.unit) % 7]
    return jnp.where((node * 31 + row.serial * 17) % 5 == 0, (common + 1) % 3, common)


def ballot(
    key: jax.Array, chain: L.Chain, terms: Terms, job: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What the vote of a job waits for: (kind, node, blocks to wait), each [] int32."""
    row, phase = get_unit(chain.votes, job), chain.ledger.jobs.phase[job]
    serial, _ = L.wanted(chain.ledger, L.make_rules(num_rounds=ROUNDS), job)
    new = (row.first_set == row.attempt) & (row.first_set > 0)
    early = chain.ledger.block - row.since < terms.commit_window
    left = new & jnp.where(early, row.commitments == 0, (row.commitments != 0) & (row.digests == 0))
    some = jnp.any(left) & jax.random.bernoulli(key, 0.95)
    node = jnp.argmax(left + jax.random.uniform(key, left.shape)).astype(jnp.int32)
    voting = jnp.where(early, jnp.where(some, Kind.COMMIT_VOTE, Kind.WAIT), Kind.REVEAL_VOTE)
    voting = jnp.where(~early & ~some, Kind.TALLY, voting)
    book = jnp.int32(Kind.BOOK_ROUND)
    for where, kind in BOOKINGS.items():
        book = jnp.where(phase == where, kind, book)
    waits = jax.random.bernoulli(key, 0.5)
    hidden = jnp.where(waits, jnp.where(jax.random.bernoulli(key, 0.25), Kind.WAIT, book), book)
    tell = jnp.where(jax.random.bernoulli(key, 0.8), Kind.OPEN_CONTENT, hidden)
    decided = jnp.where((row.stage == Stage.DECIDED) & ~row.is_open, tell, book)
    kind = jnp.where(row.stage == Stage.VOTING, voting, decided)
    kind = jnp.where(row.stage == Stage.OPEN, Kind.DRAW, kind)
    return jnp.where(serial != row.serial, Kind.OPEN_UNIT, kind), node, jnp.int32(1)


def seats_of(key: jax.Array, row: Votes, terms: Terms) -> jax.Array:
    """[C] int32: the next set, every one of the nodes that are left equally likely."""
    luck = jnp.where(row.urn > 0, jax.random.uniform(key, row.urn.shape), -1.0)
    rank = jnp.argsort(jnp.argsort(-luck))
    return (rank < next_size(row, terms)).astype(jnp.int32)


def random_action(key: jax.Array, chain: L.Chain, by: L.Laws) -> L.Action:
    """Mostly what fits the phase of a random slot; one field in twenty is anything at all."""
    ledger, rules, keys = chain.ledger, by.rules, iter(jax.random.split(key, 24))

    def whole(low: int | jax.Array, high: int | jax.Array) -> jax.Array:
        return jax.random.randint(next(keys), (), low, high, jnp.int32)

    job = whole(0, LAYOUT.num_jobs)
    row, phase = get_unit(chain.votes, job), ledger.jobs.phase[job]
    weights = jnp.asarray(WEIGHTS)[phase]
    kind = jax.random.categorical(next(keys), jnp.log(weights)).astype(jnp.int32)
    serial, _ = L.wanted(ledger, rules, job)
    next_kind, voter, blocks = ballot(next(keys), chain, by.terms, job)
    votes = (serial > 0) & jax.random.bernoulli(next(keys), 0.93)
    kind = jnp.where(votes, next_kind, kind)
    seller, node = LAYOUT.seller(whole(0, LAYOUT.num_sellers)), whole(0, LAYOUT.num_nodes)
    voter = jnp.where(votes, voter, node)
    actor = whole(0, LAYOUT.num_accounts)
    is_bidding = jnp.isin(kind, BIDDING)
    actor = jnp.where(is_bidding, whole(0, LAYOUT.num_buyers), actor)
    actor = jnp.where(kind == Kind.REGISTER_SELLER, seller, actor)
    actor = jnp.where(kind == Kind.REGISTER_NODE, LAYOUT.node(node), actor)
    actor = jnp.where(jnp.isin(kind, OWNERS), ledger.jobs.buyer[job], actor)
    actor = jnp.where(jnp.isin(kind, BALLOTS), LAYOUT.node(voter), actor)
    least, worth = L.minimum_bid(ledger, rules, job, actor), 300 + 50 * actor
    amount = jnp.where(kind == Kind.BID, least + whole(-1, 300), whole(0, 3_000))
    amount = jnp.where(kind == Kind.SEAL, worth + whole(-1, 300), amount)
    amount = jnp.where(kind == Kind.REVEAL, worth, amount)
    amount = jnp.where(kind == Kind.WAIT, jnp.where(votes, blocks, whole(0, 5)), amount)
    contents = flavours(task_of(row.unit, by.terms))
    digests = jax.vmap(mix_all)(contents)
    digest = digests[opinion(row, voter)]
    value = jnp.where(kind == Kind.OPEN_DISPUTE, whole(0, ROUNDS + 1), whole(0, 9_000))
    sealed = L.commitment_of(job=job, buyer=actor, amount=worth, **REQUEST)
    value = jnp.where(kind == Kind.SEAL, sealed, value)
    value = jnp.where(kind == Kind.REVEAL, REQUEST["tau_bps"], value)
    value = jnp.where(kind == Kind.OPEN_METRIC, CONTENT, value)
    promise = commitment_of(row, job, voter, digest, jnp.int32(SALT))
    value = jnp.where(kind == Kind.COMMIT_VOTE, promise, value)
    value = jnp.where(kind == Kind.REVEAL_VOTE, digest, value)
    asks = jnp.stack([whole(0, 100), whole(4_000, 10_001), whole(0, 9)])
    told = jnp.asarray([REQUEST[name] for name in ("model", "metric", "salt")], jnp.int32)
    extra = jnp.where(is_bidding, told, asks)
    extra = jnp.where((kind == Kind.OPEN_METRIC) | jnp.isin(kind, BALLOTS), SALT, extra)
    tags = jnp.where(kind == Kind.REGISTER_SELLER, 7, 1 + job)
    seats = seats_of(next(keys), row, by.terms)
    content = contents[jnp.argmax(digests == row.accepted)]
    payload = jnp.pad(seats, (0, LAYOUT.payload_size - LAYOUT.num_nodes))
    payload = jnp.where(kind == Kind.OPEN_CONTENT, content, payload)
    anything = jax.random.randint(next(keys), (6,), -(2**31), 2**31 - 1, jnp.int32)
    odd = jax.random.bernoulli(next(keys), 1 / 20 / 6, (6,))
    fields = jnp.stack([actor, job, seller, amount, tags, value])
    actor, job, target, amount, tags, value = jnp.where(odd, anything, fields)
    return L.Action(kind, actor, job, target, amount, tags, value, extra, payload)


def play(key: jax.Array, by: L.Laws) -> tuple[L.Chain, jax.Array, dict[str, jax.Array], L.Action]:
    """One world: the chain after, receipts [S], whether each invariant always held, actions [S]."""
    chain = L.new_chain(LAYOUT, buyer_funds=FUNDS, seller_funds=FUNDS, node_funds=FUNDS)

    def step(carry: tuple[L.Chain, dict[str, jax.Array]], key: jax.Array):
        before, held = carry
        action = random_action(key, before, by)
        after, reason = L.apply(before, by, action)
        facts = L.invariants(after.ledger, before.ledger)
        held = {name: held[name] & fact for name, fact in facts.items()}
        return (after, held), (reason, action, after.ledger.jobs.phase)

    held = {name: jnp.bool_(True) for name in L.invariants(chain.ledger, chain.ledger)}
    steps = jax.random.split(key, NUM_STEPS.value)
    (chain, held), (reasons, actions, phases) = jax.lax.scan(step, (chain, held), steps)
    return chain, reasons, held, actions, phases


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    by = laws()
    L.check_laws(LAYOUT, by)
    keys = jax.random.split(jax.random.key(SEED.value), NUM_WORLDS.value)
    run = jax.jit(jax.vmap(play, in_axes=(0, None))).lower(keys, by)
    started = time.perf_counter()
    run = run.compile()
    compiled = time.perf_counter() - started
    started, busy = time.perf_counter(), time.process_time()
    chains, reasons, held, actions, phases = jax.block_until_ready(run(keys, by))
    seconds, busy = time.perf_counter() - started, time.process_time() - busy

    reasons = np.asarray(reasons)
    print(f"{reasons.size:,} actions in {len(keys):,} worlds on {jax.devices()[0].device_kind}:")
    accepted, kinds = np.mean(reasons == Reason.OK), len(np.unique(reasons)) - 1
    speed = reasons.size / seconds
    print(f"  {speed:,.0f} actions/s, invariants checked ({seconds:.1f} s after {compiled:.1f} s)")
    print(f"  {reasons.size / busy:,.0f} actions per processor second ({busy:.1f} s)")
    print(f"  {accepted:.1%} accepted, the rest refused for {kinds} reasons")
    reached = np.asarray(phases)
    for kind in (Kind.BOOK_ROUND, Kind.BOOK_VERIFICATION, Kind.OPEN_DISPUTE, Kind.BOOK_DISPUTE):
        done = np.sum((np.asarray(actions.kind) == kind) & (reasons == Reason.OK))
        print(f"  {kind.name.lower()}: {done:,}")
    print(f"  jobs settled: {entered(reached, Phase.SETTLED):,}, "
          f"refunded: {entered(reached, Phase.REFUNDED):,}")  # fmt: skip
    for name, fact in held.items():
        print(f"  {name}: {'always' if bool(np.all(fact)) else 'BROKEN'}")
    if not all(bool(np.all(fact)) for fact in held.values()):
        sys.exit("error: an invariant broke")
    if NUM_SLOW.value:
        some = jax.tree.map(lambda x: np.asarray(x[: NUM_SLOW.value]), (chains, actions))
        compare(*some, reasons[: NUM_SLOW.value], speed)


def entered(phases: np.ndarray, phase: Phase) -> int:
    """How often a job came into the phase; `phases` is [W, S, J]."""
    return int(np.sum((phases[:, 1:] == phase) & (phases[:, :-1] != phase)))


def compare(chains: L.Chain, actions: L.Action, reasons: np.ndarray, speed: float) -> None:
    """The same actions by the slow ledger: same receipts, same state at the end, and how fast."""
    from tests.ledger.model import Model
    from tests.ledger.vote_traces import Election
    from tests.ledger.worlds import by_name

    sizes = LAYOUT.num_nodes, LAYOUT.num_sellers, LAYOUT.num_jobs, ROUNDS
    funds = [FUNDS] * (LAYOUT.num_accounts - 1) + [0]
    seconds, differing = 0.0, 0
    for world, expected in enumerate(reasons):
        how = Election(*sizes, "lead", "exponential", False, SETS, size=0, q=0.0, **VOTE)
        slow = Model(LAYOUT, numbers(), funds, how)
        rows = [np.asarray(x[world]).tolist() for x in vars(actions).values()]
        started = time.perf_counter()
        got = [int(slow.act(*step)) for step in zip(*rows, strict=True)]
        seconds += time.perf_counter() - started
        differing += int(np.sum(np.asarray(got) != expected))
        state = by_name(jax.tree.map(lambda x, world=world: x[world], chains))
        same = [np.array_equal(state[name], x) for name, x in slow.everything().items()]
        differing += len(same) - sum(same)
    print(f"slow ledger, plain Python: {reasons.size / seconds:,.0f} actions/s, "
          f"ratio {speed * seconds / reasons.size:,.0f}")  # fmt: skip
    print(f"  receipts and fields that differ: {differing} of {reasons.size:,} actions")
    if differing:
        sys.exit("error: the two ledgers disagree")


if __name__ == "__main__":
    app.run(main)
