"""The visibility table against the program of the whole market."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import as_arrays, privacy, sellers, tasks
from d2m_jax.data import seller_rows
from d2m_jax.market.units import cut
from d2m_jax.privacy import Party, check_flows, release
from d2m_jax.privacy.visibility import RELEASES, VISIBILITY, flows, releases_table
from tests.worlds import SPEC, digits, market, numbers


def labels_of(data):
    blank = jax.tree.map(lambda _: None, data)
    return blank.replace(
        pool="raw data",
        rows="raw data",
        starts="raw data",
        correction="correction examples",
        verdict="verdict examples",
        root="root examples",
        test="test examples",
    )


def market_flows(data=None, **changes):
    data = digits()[1] if data is None else data
    program = market(dataclasses.replace(SPEC, num_rounds=2, eval_every=1, **changes))
    hparams = as_arrays(numbers())
    fresh = lambda *args: program.run(*args)  # else the trace of an earlier test is used
    return flows(fresh, (None, None, labels_of(data)), jax.random.key(0), hparams, data)


def test_only_what_may_be_seen_reaches_the_parties():
    seen = market_flows()
    check_flows(seen.ledger, Party.CHAIN)
    check_flows((seen.auction, seen.closing, seen.scores), Party.CHAIN)
    check_flows(seen.theta, Party.BUYER)
    assert seen.theta == {"model"}
    assert "contributions" in seen.ledger.balances and "metric" in seen.ledger.balances
    assert seen.evaluations.test_metric == {"model", "test examples"}
    with pytest.raises(ValueError, match="test examples must not reach the buyer"):
        check_flows(seen.evaluations, Party.BUYER)


def test_of_bonded_units_nodes_see_the_openings_and_nobody_else_does(monkeypatch):
    data = cut(digits()[1], 80, 20)
    units = {"selling": "units", "num_units": 80, "contribution": "own_work"}
    seen = market_flows(data, **units)
    check_flows((seen.ledger, seen.found_out, seen.scores), Party.CHAIN)
    check_flows(seen.theta, Party.BUYER)
    honest = release
    monkeypatch.setattr(
        privacy, "release", lambda value, item: value if item == "openings" else honest(value, item)
    )
    with pytest.raises(ValueError, match="raw data must not be released as"):
        market_flows(data, **units)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "hidden, message",
    [
        ("update", "raw data must not be released as verdicts on sellers"),
        ("aggregate", "correction examples must not be released as model"),
        ("verdicts on sellers", "correction examples must not be released as update"),
        ("metric", "model must not reach everybody"),
    ],
)
def test_a_value_that_crosses_undeclared_is_found(monkeypatch, hidden, message):
    honest = release
    monkeypatch.setattr(
        privacy, "release", lambda value, item: value if item == hidden else honest(value, item)
    )
    with pytest.raises(ValueError, match=message):
        seen = market_flows()
        check_flows(seen.ledger, Party.CHAIN)
        check_flows(seen.defence.memory, Party.NODES)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "item, wrong, message",
    [
        ("update", "aggregate", "raw data must not be released as aggregate"),
        ("metric", "contributions", "verdict examples must not be released as contributions"),
        ("contributions", "metric", "must not be released as metric"),
    ],
)
def test_a_value_that_crosses_under_a_wrong_name_is_found(monkeypatch, item, wrong, message):
    honest = release
    lie = lambda value, name: honest(value, wrong if name == item else name)
    monkeypatch.setattr(privacy, "release", lie)
    with pytest.raises(ValueError, match=message):
        market_flows()


def test_nobody_releases_what_it_may_not_see_itself():
    for item, rule in RELEASES.items():
        assert item in VISIBILITY
        for source in rule.sources:
            assert rule.by & VISIBILITY[source], f"{item} is made of {source} by one who is blind"
    text = releases_table()
    assert "metric               by execution sets, of verdict examples, model" in text


SECURE = {"sampler": "uniform", "aggregator": "mean", "secure_group": 3}


@pytest.mark.slow
def test_with_secure_sums_single_updates_reach_nobody(monkeypatch):
    seen = market_flows(**SECURE)
    assert seen.theta == {"model"}
    check_flows(seen.defence, Party.NODES)
    honest = release
    hide = lambda value, name: value if name == "group mean" else honest(value, name)
    monkeypatch.setattr(privacy, "release", hide)
    with pytest.raises(ValueError, match="own update must not be released as"):
        market_flows(**SECURE)


def test_an_update_depends_on_no_other_sellers_data():
    dataset, data = digits()
    model = tasks.make_model("logreg", dataset)

    @jax.jit
    def updates(images):
        world = data.replace(pool={**data.pool, "inputs": images})
        theta = model.init(jax.random.key(1))
        return sellers.train_sellers(
            model, jax.random.key(0), theta, world, jnp.arange(3), batch_size=8
        )

    images = data.pool["inputs"]
    mine = seller_rows(data)[1]
    others = (255 - images).at[mine].set(images[mine])
    before, after = updates(images), updates(others)
    np.testing.assert_array_equal(before[1], after[1])
    assert (before[0] != after[0]).any()


@pytest.mark.parametrize("loop", ["scan", "cond", "while", "trips", "jit", "grad"])
def test_labels_follow_control_flow(loop):
    def fn(secret, public):
        if loop == "scan":  # the secret enters the carry only in the second round
            start = (secret, jnp.float32(0), jnp.float32(0))
            body = lambda c, _: ((c[0], c[0], c[1]), c[2])
            return jax.lax.scan(body, start, None, length=3)[1].sum(), public
        if loop == "cond":
            return jax.lax.cond(public > 0, lambda: secret, lambda: 0.0), public
        if loop == "while":
            return jax.lax.while_loop(lambda c: c < 9, lambda c: c + secret, public), public
        if loop == "trips":  # the secret only says how often the body runs
            steps = jax.lax.while_loop(
                lambda c: c[0] < c[1], lambda c: (c[0] + 1, c[1]), (jnp.float32(0), secret)
            )
            return steps[0], public
        if loop == "jit":
            return jax.jit(lambda a: a * 2)(secret), public
        return jax.grad(lambda a: jnp.sin(a) * secret)(public), public

    out = flows(fn, ("raw data", None), jnp.float32(1), jnp.float32(2))
    assert out == (frozenset({"raw data"}), frozenset())


def test_release_changes_nothing_and_knows_its_items():
    tree = {"a": jnp.arange(3.0), "b": None}
    marked = jax.jit(lambda tree: release(tree, "model"))(tree)
    np.testing.assert_array_equal(marked["a"], tree["a"])
    with pytest.raises(ValueError, match="unknown item 'weights'"):
        release(tree, "weights")


def test_the_printed_table_names_every_item():
    text = privacy.table()
    assert "raw data" in text and "its seller" in text
    assert len(text.splitlines()) == len(privacy.VISIBILITY)
