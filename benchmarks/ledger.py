"""A million random actions through the vmapped ledger, all invariants checked after each one.

    python benchmarks/ledger.py
    python benchmarks/ledger.py --num_worlds=512 --num_steps=128 --num_evm=0

The actions of some of the worlds are then played on the EVM (extra `evm`): the receipts must be the
same, and the two speeds are compared, by the clock and per second of processor time (which other
programs on the machine hardly change).
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
from d2m_jax.ledger import Kind, Phase, Reason

NUM_WORLDS = flags.DEFINE_integer("num_worlds", 4_096, "ledgers side by side", lower_bound=1)
NUM_STEPS = flags.DEFINE_integer("num_steps", 256, "actions of each ledger", lower_bound=1)
NUM_EVM = flags.DEFINE_integer("num_evm", 8, "worlds played on the EVM too", lower_bound=0)
SEALED = flags.DEFINE_integer("sealed", 1, "1: sealed auctions, 0: ascending", 0, 1)
SEED = flags.DEFINE_integer("seed", 0, "seed of all worlds")

LAYOUT = L.Layout(num_buyers=4, num_sellers=6, num_nodes=8, num_jobs=3)
FUNDS = 20_000
RULES = {
    **L.DEFAULT_RULES,
    **{"auction_window": 3, "reveal_window": 3, "challenge_window": 3},
    **{"timeout": 12, "withdrawal_delay": 12},
    **{"num_rounds": 3, "min_sellers": 2, "partial_payment": 1},
}
FOR_ARBITER = (
    *(Kind.BAN, Kind.SETTLE_ROUND, Kind.RATE_SELLERS),
    *(Kind.SLASH_SELLER, Kind.REPORT_METRIC, Kind.RESOLVE_DISPUTE),
)
LIKELY = {  # besides a little of everything
    Phase.IDLE: {Kind.BID: 10, Kind.SEAL: 10},
    Phase.AUCTION: {Kind.BID: 6, Kind.SEAL: 6, Kind.REVEAL: 8, Kind.CLOSE_AUCTION: 6},
    Phase.MATCHED: {Kind.SETTLE_ROUND: 20, Kind.OPEN_METRIC: 8, Kind.TIME_OUT: 1},
    Phase.TRAINING: {Kind.SETTLE_ROUND: 16, Kind.RATE_SELLERS: 4, Kind.REPORT_METRIC: 1},
    Phase.VERIFY: {
        Kind.REPORT_METRIC: 16,
        Kind.OPEN_METRIC: 4,
        Kind.RATE_SELLERS: 2,
        Kind.SLASH_SELLER: 1,
    },
    Phase.CHALLENGE: {Kind.OPEN_DISPUTE: 6, Kind.TAKE: 2, Kind.SETTLE: 8, Kind.SLASH_SELLER: 1},
    Phase.DISPUTED: {Kind.RESOLVE_DISPUTE: 12, Kind.TIME_OUT: 2},
    Phase.SETTLED: {Kind.RESET_JOB: 12, Kind.SETTLE: 2},
    Phase.REFUNDED: {Kind.RESET_JOB: 12, Kind.SETTLE: 2},
    Phase.ABORTED: {Kind.RESET_JOB: 12, Kind.CLOSE_AUCTION: 2},
}
BIDDING = jnp.asarray([Kind.BID, Kind.SEAL, Kind.REVEAL])
CONTENT, SALT = 4, 5  # what every buyer opens as its examples
METRIC = int(L.digest_of(CONTENT, SALT))
REQUEST = {"tau_bps": 5_000, "model": 1, "metric": METRIC, "salt": 3}  # what every seal holds
OWNERS = jnp.asarray([Kind.TAKE, Kind.OPEN_METRIC])
WEIGHTS = np.full((len(Phase), len(Kind) + 1), 0.5, np.float32)
WEIGHTS[:, Kind.WAIT] = 6.0
WEIGHTS[:, [Kind.REGISTER_SELLER, Kind.REGISTER_NODE]] = 3.0
for _phase, _kinds in LIKELY.items():
    for _kind, _weight in _kinds.items():
        WEIGHTS[_phase, _kind] += _weight


def terms() -> dict[str, int]:
    """The rules of all worlds."""
    return {**RULES, "sealed": SEALED.value}


def random_action(key: jax.Array, ledger: L.Ledger, rules: L.Rules) -> L.Action:
    """Mostly what fits the phase of a random slot; one field in sixteen is anything at all."""
    keys = iter(jax.random.split(key, 24))

    def whole(low: int | jax.Array, high: int | jax.Array) -> jax.Array:
        return jax.random.randint(next(keys), (), low, high, jnp.int32)

    job = whole(0, LAYOUT.num_jobs)
    weights = jnp.asarray(WEIGHTS)[ledger.jobs.phase[job]]
    kind = jax.random.categorical(next(keys), jnp.log(weights)).astype(jnp.int32)
    somebody = whole(0, LAYOUT.num_accounts)
    is_bidding = jnp.isin(kind, BIDDING)
    actor = jnp.where(is_bidding, whole(0, LAYOUT.num_buyers), somebody)
    seller, node = (
        LAYOUT.seller(whole(0, LAYOUT.num_sellers)),
        LAYOUT.node(whole(0, LAYOUT.num_nodes)),
    )
    actor = jnp.where(kind == Kind.REGISTER_SELLER, seller, actor)
    actor = jnp.where(kind == Kind.REGISTER_NODE, node, actor)
    actor = jnp.where(jnp.isin(kind, OWNERS), ledger.jobs.buyer[job], actor)
    actor = jnp.where(jnp.isin(kind, jnp.asarray(FOR_ARBITER)), LAYOUT.treasury, actor)
    least, worth = L.minimum_bid(ledger, rules, job, actor), 300 + 50 * actor
    amount = jnp.where(kind == Kind.BID, least + whole(-1, 300), whole(0, 3_000))
    amount = jnp.where(kind == Kind.SEAL, worth + whole(-1, 300), amount)
    amount = jnp.where(kind == Kind.REVEAL, worth, amount)
    amount = jnp.where(kind == Kind.WAIT, whole(0, 6), amount)
    amount = jnp.where(kind == Kind.REPORT_METRIC, whole(0, 10_001), amount)
    amount = jnp.where(kind == Kind.RESOLVE_DISPUTE, whole(0, len(L.Ruling)), amount)
    amount = jnp.where(kind == Kind.BAN, whole(0, 2), amount)
    value = jnp.where(kind == Kind.OPEN_DISPUTE, whole(0, 3), whole(0, 9_000))
    sealed = L.commitment_of(job=job, buyer=actor, amount=worth, **REQUEST)
    value = jnp.where(kind == Kind.SEAL, sealed, value)
    value = jnp.where(kind == Kind.REVEAL, REQUEST["tau_bps"], value)
    value = jnp.where(kind == Kind.OPEN_METRIC, CONTENT, value)
    asks = jnp.stack([whole(0, 400), whole(4_000, 10_001), whole(0, 9)])
    told = jnp.asarray([REQUEST[name] for name in ("model", "metric", "salt")], jnp.int32)
    extra = jnp.where(is_bidding, told, asks)
    extra = jnp.where(kind == Kind.OPEN_METRIC, SALT, extra)
    tags = jnp.where(kind == Kind.REGISTER_SELLER, 7, 1 + job)
    top = jnp.where(kind == Kind.SETTLE_ROUND, 4, jnp.where(kind == Kind.RATE_SELLERS, 3, 2))
    top = jnp.where(kind == Kind.REPORT_METRIC, 2**15 + 1, top)
    top = jnp.where(kind == Kind.RESOLVE_DISPUTE, len(L.Finding), top)
    payload = jax.random.randint(next(keys), (LAYOUT.payload_size,), 0, top, jnp.int32)
    anything = jax.random.randint(next(keys), (6,), -(2**31), 2**31 - 1, jnp.int32)
    odd = jax.random.bernoulli(next(keys), 1 / 16, (6,))
    target = jnp.where(whole(0, 2) == 0, seller, node)
    fields = jnp.stack([actor, job, target, amount, tags, value])
    actor, job, target, amount, tags, value = jnp.where(odd, anything, fields)
    return L.Action(kind, actor, job, target, amount, tags, value, extra, payload)


def play(key: jax.Array, rules: L.Rules) -> tuple[jax.Array, dict[str, jax.Array], L.Action]:
    """One world: receipts [S], whether each invariant always held, and the actions [S]."""
    ledger = L.new_ledger(LAYOUT, buyer_funds=FUNDS, seller_funds=FUNDS, node_funds=FUNDS)

    def step(carry: tuple[L.Ledger, dict[str, jax.Array]], key: jax.Array):
        before, held = carry
        action = random_action(key, before, rules)
        after, reason = L.apply(before, rules, action)
        facts = L.invariants(after, before)
        held = {name: held[name] & fact for name, fact in facts.items()}
        return (after, held), (reason, action)

    held = {name: jnp.bool_(True) for name in L.invariants(ledger, ledger)}
    steps = jax.random.split(key, NUM_STEPS.value)
    (_, held), (reasons, actions) = jax.lax.scan(step, (ledger, held), steps)
    return reasons, held, actions


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    rules = L.make_rules(**terms())
    keys = jax.random.split(jax.random.key(SEED.value), NUM_WORLDS.value)
    run = jax.jit(jax.vmap(play, in_axes=(0, None))).lower(keys, rules)
    started = time.perf_counter()
    run = run.compile()
    compiled = time.perf_counter() - started
    started, busy = time.perf_counter(), time.process_time()
    reasons, held, actions = jax.block_until_ready(run(keys, rules))
    seconds, busy = time.perf_counter() - started, time.process_time() - busy

    total = reasons.size
    reasons = np.asarray(reasons)
    print(f"{total:,} actions in {NUM_WORLDS.value:,} worlds on {jax.devices()[0].device_kind}:")
    accepted, kinds = np.mean(reasons == Reason.OK), len(np.unique(reasons)) - 1
    speed = total / seconds
    print(f"  {speed:,.0f} actions/s, invariants checked ({seconds:.1f} s after {compiled:.1f} s)")
    print(f"  {total / busy:,.0f} actions per processor second ({busy:.1f} s)")
    print(f"  {accepted:.1%} accepted, the rest refused for {kinds} reasons")
    for name, fact in held.items():
        print(f"  {name}: {'always' if bool(np.all(fact)) else 'BROKEN'}")
    if not all(bool(np.all(fact)) for fact in held.values()):
        sys.exit("error: an invariant broke")
    if NUM_EVM.value:
        few = jax.device_get(jax.tree.map(lambda x: x[: NUM_EVM.value], actions))
        compare(few, reasons[: NUM_EVM.value], speed, total / busy)


def compare(actions: L.Action, reasons: np.ndarray, speed: float, per_busy: float) -> None:
    """The same actions on the EVM: same receipts, and how fast."""
    from contracts.market import Market, compile_market

    artifact = compile_market()
    funds = [FUNDS] * (LAYOUT.num_accounts - 1) + [0]
    seconds, busy, differing = 0.0, 0.0, 0
    for world, expected in enumerate(reasons):
        market = Market(artifact, LAYOUT, terms(), funds)
        rows = jax.tree.map(lambda x, world=world: x[world], actions)
        steps = [{k: v[i] for k, v in vars(rows).items()} for i in range(len(expected))]
        started, was_busy = time.perf_counter(), time.process_time()
        got = [market.act(step) for step in steps]
        seconds += time.perf_counter() - started
        busy += time.process_time() - was_busy
        differing += int(np.sum(np.asarray(got) != expected))
    evm, evm_busy = reasons.size / seconds, reasons.size / busy
    print(f"EVM (py-evm, one process): {evm:,.0f} actions/s, ratio {speed / evm:,.0f}")
    ratio = per_busy / evm_busy
    print(f"  {evm_busy:,.0f} actions per processor second, ratio {ratio:,.0f}")
    print(f"  receipts that differ: {differing} of {reasons.size:,}")
    if differing:
        sys.exit("error: the two machines disagree")


if __name__ == "__main__":
    app.run(main)
