"""Properties of every rule in the table, and every rule against its float64 oracle.

A new rule appears here by itself: it needs a function of its name in `oracles.py` and, where a
property does not hold for it, a reason in the sets below.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from tests.aggregation import oracles

N, D, F = 11, 6, 2
NAMES = tuple(agg.AGGREGATORS)

# Which rules are exempt from a property, and why.
NOT_SYMMETRIC = {"monna", "sequential_clipping"}  # a pivot; ties in the order go by index
NOT_BOUNDED = {"mean", "robust_learning_rate"}  # averages of everything
MEAN_AT_ZERO = {  # f = 0 gives the mean; the others do not use f, or clip or select anyway
    "mean",
    "trimmed_mean",
    "meamed",
    "phocas",
    "multi_krum",
    "bulyan",
    "mda",
    "smea",
    "monna",
    "cge",
    "caf",
    "projected_caf",
    "projected_nnm",
    "dnc",
    "gas",
    "robust_learning_rate",
    "zeno",
    "centered_clipping",  # as long as no update is longer than its radius of 10
}
NOT_IDENTITY = {
    "foolsgold",  # equal updates are Sybils: nobody is trusted
    "sign_majority",  # returns scaled signs
    "fedseca",  # keeps the longest values of a row
    "sequential_clipping",  # comes nearer by its radius at most
}


def rows(seed, n=N):
    """A tilted cloud of updates, so that directions, lengths and signs all mean something."""
    rng = np.random.default_rng(seed)
    x = rng.normal(1.0, 0.6, size=(n, D)) * rng.uniform(0.7, 1.3, size=(n, 1))
    return x.astype(np.float32)


def extra(name, x, kept=slice(None)):
    """The root update, the losses, where the rule uses them; losses belong to rows."""
    uses = agg.AGGREGATORS[name].uses
    given = {}
    if "root" in uses:
        given["root"] = np.ones(D, np.float32)
    if "losses" in uses:
        given["losses"] = np.abs(x - 1.0).sum(axis=1).astype(np.float32)[kept]
    return given


def bound(name):
    """What the rule uses that is no array: the loss after a step."""
    if name == "deepsight":
        return {"layers": (2, 4), "outputs_of": oracles.logits}
    return {"losses_of": oracles.loss} if "losses_of" in agg.AGGREGATORS[name].uses else {}


def by_name(name):
    """The rule or pre-aggregator without what is no array."""
    part = agg.AGGREGATORS.get(name) or agg.PRE_AGGREGATORS[name]
    return functools.partial(part, **bound(name)) if name in agg.AGGREGATORS else part


@functools.cache
def static(name):
    """The rule compiled with a Python f and no mask."""
    return jax.jit(lambda x, kw: by_name(name)(x, F, **kw))


@functools.cache
def traced(name):
    """The rule as the market calls it, compiled once for any f and any mask."""
    rule = agg.make_aggregator(name)
    given = bound(name)
    return jax.jit(lambda x, f, mask, kw: rule.apply(rule.init(N, D), x, f, mask, **kw, **given)[0])


def oracle(name, x, f, kw):
    return getattr(oracles, name)(x.astype(np.float64), f, **kw, **bound(name))


ALL = np.ones(N, bool)


@pytest.mark.parametrize("name", NAMES)
def test_same_as_oracle_static_and_traced(name):
    for seed in range(3):
        x = rows(seed)
        x[:F] *= -3.0
        kw = extra(name, x)
        want = oracle(name, x, F, kw)
        np.testing.assert_allclose(static(name)(x, kw), want, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(traced(name)(x, F, ALL, kw), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_masked_is_removed(name):
    """Absent rows, whatever they hold, are as if they had never been sent."""
    for seed, kept in enumerate((np.arange(N) % 5 != 3, np.arange(N) != 0, np.arange(N) > 6)):
        x = rows(seed + 10)
        f = 1 if kept.sum() > 6 else 0
        want = oracle(name, x[kept], f, extra(name, x, kept))
        garbage = np.where(kept[:, None], x, np.nan).astype(np.float32)
        got = traced(name)(garbage, f, kept, extra(name, x))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.few(12)
@pytest.mark.parametrize("name", NAMES)
def test_one_row_and_nobody(name):
    """With one row left the result is finite and f is lowered; with none it is 0."""
    x = rows(3)
    one, nobody = np.arange(N) == 4, np.zeros(N, bool)
    got = traced(name)(x, F, one, extra(name, x))
    if name not in NOT_IDENTITY | {"fltrust", "skymask"}:
        np.testing.assert_allclose(got, x[4], rtol=1e-5)
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(traced(name)(x, F, nobody, extra(name, x)), np.zeros(D))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NOT_SYMMETRIC])
def test_permutation_changes_nothing(name):
    x = rows(4)
    order = np.random.default_rng(0).permutation(N)
    kw, moved = extra(name, x), extra(name, x, order)
    np.testing.assert_allclose(
        static(name)(x, kw), static(name)(x[order], moved), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NOT_BOUNDED])
def test_breakdown_point(name):
    """F colluding rows may grow without bound; the result may not."""
    for scale in (1e2, 1e8, 1e16):
        x = rows(5)
        honest = np.linalg.norm(x[: N - F], axis=1).max()
        x[N - F :] = -scale * np.array([1, 1, 1, 1, 1, 0.5], np.float32)
        kw = extra(name, x)
        assert np.linalg.norm(static(name)(x, kw)) < 3 * honest
        assert np.linalg.norm(traced(name)(x, F, ALL, kw)) < 3 * honest


@pytest.mark.parametrize("name", sorted(NOT_BOUNDED))
def test_exempt_rules_really_break(name):
    x = rows(5)
    x[N - F :] = -1e8
    assert np.linalg.norm(static(name)(x, extra(name, x))) > 1e6


@pytest.mark.parametrize("name", NAMES)
def test_no_byzantine_gives_the_mean(name):
    x = rows(6)
    got = traced(name)(x, 0, ALL, extra(name, x))
    same = np.allclose(got, x.mean(axis=0), rtol=1e-4, atol=1e-5)
    assert same == (name in MEAN_AT_ZERO)


@pytest.mark.few(12)
@pytest.mark.parametrize("name", NAMES)
def test_identical_updates_give_themselves(name):
    x = np.tile(rows(7)[:1], (N, 1))
    kw = extra(name, x)
    if "root" in kw:
        kw["root"] = x[0]
    want = x[0]
    if name == "foolsgold":
        want = np.zeros(D)
    elif name == "fedseca":
        want = np.where(np.abs(x[0]) == np.abs(x[0]).max(), x[0], 0)
    elif name == "sign_majority":
        want = np.sign(x[0]) * np.abs(x[0]).mean()
    np.testing.assert_allclose(static(name)(x, kw), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(traced(name)(x, F, ALL, kw), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bad_rows_are_excluded_and_everything_is_finite(name):
    """Rows with a NaN, an infinity or a huge norm count as absent."""
    x = rows(8)
    bad = x.copy()
    bad[1, 2], bad[4, 0], bad[5] = np.nan, np.inf, 1e30
    kept = ~np.isin(np.arange(N), (1, 4, 5))
    np.testing.assert_array_equal(agg.finite_mask(bad), kept)
    kw = extra(name, x)
    got = traced(name)(bad, 1, ALL, kw)
    np.testing.assert_array_equal(got, traced(name)(x, 1, kept, kw))
    assert np.isfinite(got).all()


@pytest.mark.few(4)
@pytest.mark.parametrize("name", NAMES)
def test_eager_is_jit_and_the_call_is_as_documented(name):
    rule = agg.AGGREGATORS[name]
    assert list(inspect.signature(rule.fn).parameters)[:2] == ["updates", "f"]
    assert inspect.signature(rule.fn).parameters["mask"].kind == inspect.Parameter.KEYWORD_ONLY
    assert getattr(agg, name) is rule.fn and name in agg.__all__
    x = jnp.asarray(rows(9))
    kw = extra(name, np.asarray(x))
    eager = rule(x, F, **kw, **bound(name))
    assert eager.shape == (D,) and eager.dtype == jnp.float32
    np.testing.assert_allclose(eager, static(name)(x, kw), rtol=1e-5, atol=1e-5)


@pytest.mark.few(6)
@pytest.mark.parametrize("name", [*NAMES, *agg.PRE_AGGREGATORS])
def test_half_precision_is_aggregated_in_single(name):
    x = rows(9)
    rule = by_name(name)
    kw = extra(name, x) if name in NAMES else {"key": jax.random.key(0)}
    for dtype in (jnp.float16, jnp.bfloat16):
        out = jax.eval_shape(lambda half: rule(half, F, **kw), x.astype(dtype))
        assert jax.tree.leaves(out)[0].dtype == jnp.float32
    with pytest.raises(ValueError, match="updates must be floating numbers, got int32"):
        rule(x.astype(np.int32), F, **kw)


@pytest.mark.few(12)
@pytest.mark.parametrize("name", [*NAMES, *agg.PRE_AGGREGATORS])
def test_shapes_are_checked_before_anything_broadcasts(name):
    x = jnp.asarray(rows(9))
    rule = by_name(name)
    kw = extra(name, rows(9)) if name in NAMES else {"key": jax.random.key(0)}
    for shape in ((D,), (0, D), (N, 0), (N, D, 2)):
        with pytest.raises(ValueError, match=r"updates must be a matrix \[S, D\]"):
            rule(jnp.ones(shape), F, **kw)
    for mask in (jnp.ones(1, bool), jnp.ones(N - 1, bool), jnp.ones((N, 1), bool)):
        with pytest.raises(ValueError, match=f"mask must have one entry for each of the {N} rows"):
            rule(x, F, mask=mask, **kw)
    here = [True] * (N - 1) + [False]
    listed, stored = (rule(x, F, mask=mask, **kw) for mask in (here, jnp.asarray(here)))
    np.testing.assert_array_equal(jax.tree.leaves(listed)[0], jax.tree.leaves(stored)[0])


@pytest.mark.few(6)
@pytest.mark.parametrize("name", NAMES)
def test_one_row_is_its_own_aggregate(name):
    """fltrust rescales it to the root, skymask splits two, sign_majority keeps the signs."""
    x = rows(9)[:1]
    kw = {key: v[:1] if key == "losses" else v for key, v in extra(name, rows(9)).items()}
    got = by_name(name)(x, 0, **kw)
    if name in {"fltrust", "skymask", *NOT_IDENTITY} - {"foolsgold"}:
        assert np.isfinite(got).all()
    else:
        np.testing.assert_allclose(got, x[0], rtol=1e-5)


def test_numpys_integers_are_checked_like_pythons():
    x = rows(9)
    np.testing.assert_array_equal(agg.trimmed_mean(x, np.int64(2)), agg.trimmed_mean(x, 2))
    with pytest.raises(ValueError, match="f = 9 Byzantine of 11 rows"):
        agg.trimmed_mean(x, np.int64(9))
    for wrong in (2.7, "2", None):
        with pytest.raises(ValueError, match="f must be an integer, got "):
            agg.krum(x, wrong)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: agg.monna(x, 1, pivot=N), "pivot = 11 is not one of the rows 0 to 10"),
        (lambda x: agg.monna(x, 1, pivot=1.5), "pivot must be an integer, got 1.5"),
        (lambda x: agg.multi_krum(x, 1, num_chosen=np.int64(0)), "num_chosen must be at least 1"),
        (lambda x: agg.centered_clipping(x, centre=jnp.ones(1)), "centre must have shape"),
        (lambda x: jax.jit(agg.krum)(x, 2.7), "f must be one integer, got float32 of shape"),
        (lambda x: agg.krum(x, jnp.arange(3)), "f must be one integer, got int32 of shape"),
        (lambda x: agg.multi_krum(x, 1, num_chosen=0), "num_chosen must be at least 1, got 0"),
        (lambda x: agg.centered_clipping(x, steps=0), "steps must be at least 1, got 0"),
        (
            lambda x: agg.bucketing(x, 1, key=jax.random.key(0), size=0),
            "size must be at least 1, got 0",
        ),
        (lambda x: agg.dnc(x, 1, num_coordinates=0), "num_coordinates must be at least 1, got 0"),
        (lambda x: agg.mean(x, weights=[1.0] * 9), "weights must have one entry for each of"),
        (lambda x: agg.zeno(x, 1, losses=jnp.ones(1)), "losses must have one entry for each of"),
        (lambda x: agg.fltrust(x, root=jnp.ones(3)), r"root must have shape \(6,\), got \(3,\)"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.asarray(rows(9)))


def test_what_the_buyer_brings_cannot_spoil_the_aggregate():
    x = jnp.asarray(rows(9))
    for value in (np.nan, np.inf, 1e30):
        np.testing.assert_array_equal(agg.fltrust(x, root=jnp.full(D, value)), 0)
    half = agg.fltrust(x, root=jnp.full(D, 300, jnp.float16))
    np.testing.assert_array_equal(half, agg.fltrust(x, root=[300] * D))
    weights = jnp.ones(N).at[3].set(jnp.nan)
    absent = jnp.arange(N) != 3
    for rule in (agg.mean, agg.geometric_median):
        got = rule(x, mask=absent, weights=weights)
        np.testing.assert_allclose(got, rule(x, mask=absent), rtol=1e-5)


def test_precision_that_is_there_is_kept():
    """Lists are read; promotion is left to nobody; eight bits are widened, 64 are not narrowed."""
    with jax.numpy_dtype_promotion("strict"):
        assert agg.finite_mask([[1.0, 2.0], [np.nan, 1.0]]).tolist() == [True, False]
        for dtype in (jnp.float8_e4m3fn, jnp.bfloat16):
            assert agg.median(jnp.ones((3, D), dtype)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert agg.trimmed_mean(jnp.ones((5, D), jnp.float64), 1).dtype == jnp.float64


def test_half_precision_norms_do_not_overflow():
    """Squares of half precision end at 65,504: these rows have norms of 734."""
    x = np.full((5, D), 300, np.float16)
    assert agg.finite_mask(x).all()
    np.testing.assert_array_equal(agg.make_aggregator("cge").apply((), x, 1)[0], x[0])


@pytest.mark.few(6)
@pytest.mark.parametrize("name", NAMES)
def test_vmap_is_loop(name):
    """Worlds with different f and masks in one batch."""
    worlds = [rows(20), rows(21), rows(22)]
    fs = np.array([0, 1, 2], np.int32)
    masks = np.stack([ALL, np.arange(N) != 5, ALL])
    kws = [extra(name, x) for x in worlds]
    stacked = {k: np.stack([kw[k] for kw in kws]) for k in kws[0]}
    batch = jax.jit(jax.vmap(lambda x, f, mask, kw: by_name(name)(x, f, mask=mask, **kw)))(
        np.stack(worlds), fs, masks, stacked
    )
    for i in range(3):
        single = traced(name)(worlds[i], fs[i], masks[i], kws[i])
        np.testing.assert_allclose(batch[i], single, rtol=1e-5, atol=1e-5)


@pytest.mark.few(6)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_finite_even_at_ties(name):
    """An attacker may differentiate through any rule, also where updates coincide."""
    grad = jax.jit(
        jax.grad(lambda x, kw: jnp.vdot(by_name(name)(x, F, **kw), jnp.arange(1.0, D + 1)))
    )
    tied = rows(23)
    tied[3:6] = tied[0]
    for x in (rows(23), tied, np.tile(rows(7)[:1], (N, 1)), np.zeros((N, D), np.float32)):
        assert np.isfinite(grad(x, extra(name, x))).all()
