"""Every rule again, in slow float64 numpy loops written from the definitions, for any input."""

import functools
import itertools

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import HDBSCAN


def distances(x):
    return np.array([[np.linalg.norm(a - b) for b in x] for a in x])


def clipped(x, radius):
    norms = np.linalg.norm(x, axis=1)
    return np.array([v * min(1.0, radius / n) if n else v for v, n in zip(x, norms)])


def mean(x, f):
    return x.mean(axis=0)


def median(x, f):
    return np.median(x, axis=0)


def trimmed_mean(x, f):
    return np.sort(x, axis=0)[f : len(x) - f].mean(axis=0)


def nearest(x, centre, keep):
    """Per coordinate, the mean of the `keep` values nearest the centre, the lower one on ties."""
    out = []
    for column, c in zip(x.T, centre):
        order = sorted(column, key=lambda v: (abs(v - c), v))
        out.append(np.mean(order[:keep]))
    return np.array(out)


def meamed(x, f):
    return nearest(x, np.median(x, axis=0), len(x) - f)


def phocas(x, f):
    return nearest(x, trimmed_mean(x, f), len(x) - f)


def geometric_median(x, f, steps=5000):
    """Weiszfeld until nothing moves; `test_rules.py` checks stationarity as well."""
    z = np.median(x, axis=0)
    for _ in range(steps):
        b = 1 / np.maximum(np.linalg.norm(x - z, axis=1), 1e-9)
        z = b @ x / b.sum()
    return z


def krum_scores(x, neighbours):
    d = distances(x) ** 2
    return np.array([np.sort(np.delete(row, i))[:neighbours].sum() for i, row in enumerate(d)])


def krum(x, f):
    return x[np.argmin(krum_scores(x, max(len(x) - f - 2, 1)))]


def multi_krum(x, f):
    order = np.argsort(krum_scores(x, len(x) - f - 2), kind="stable")
    return x[order[: len(x) - f]].mean(axis=0)


def bulyan(x, f):
    n = len(x)
    left, chosen = list(range(n)), []
    while len(chosen) < n - 2 * f:
        scores = krum_scores(x[left], max(len(left) - f - 2, 1))
        chosen.append(left.pop(int(np.argmin(scores))))
    y = x[sorted(chosen)]
    return nearest(y, np.median(y, axis=0), len(y) - 2 * f)


def best_subset(x, f, cost):
    subsets = [list(s) for s in itertools.combinations(range(len(x)), len(x) - f)]
    return x[min(subsets, key=lambda s: cost(x[s]))].mean(axis=0)


def mda(x, f):
    return best_subset(x, f, lambda y: distances(y).max())


def smea(x, f):
    return best_subset(x, f, lambda y: np.linalg.eigvalsh(np.cov(y.T, bias=True))[-1])


def monna(x, f):
    return x[np.argsort(np.linalg.norm(x - x[0], axis=1), kind="stable")[: len(x) - f]].mean(axis=0)


def cge(x, f):
    return x[np.argsort(np.linalg.norm(x, axis=1), kind="stable")[: len(x) - f]].mean(axis=0)


def norm_clipping(x, f):
    return clipped(x, np.median(np.linalg.norm(x, axis=1))).mean(axis=0)


def caf(x, f):
    n = len(x)
    c, best, least = np.ones(n), x.mean(axis=0), np.inf
    while c.sum() > n - 2 * f:
        mu = c @ x / c.sum()
        values, vectors = np.linalg.eigh((x - mu).T @ (c[:, None] * (x - mu)) / c.sum())
        if values[-1] < least:
            best, least = mu, values[-1]
        tau = ((x - mu) @ vectors[:, -1]) ** 2
        ratio = tau / tau[c > 0].max()
        c = np.where(ratio > 1 - 1e-9, 0, c * np.maximum(1 - ratio, 0))  # all that tie go at once
    return best


def dnc(x, f):
    y = x - x.mean(axis=0)
    v = np.linalg.svd(y)[2][0]
    return x[np.argsort((y @ v) ** 2, kind="stable")[: len(x) - f]].mean(axis=0)


def signguard(x, f):
    norms = np.linalg.norm(x, axis=1)
    middle = np.median(norms)
    shares = np.array([[np.mean(v > 0), np.mean(v == 0), np.mean(v < 0)] for v in x])
    gaps = distances(shares)
    reach = np.mean([np.sort(row)[max(len(x) // 2, 1) - 1] for row in gaps]) + 1e-6
    modes = shares.copy()
    for _ in range(20):
        modes = np.array(
            [shares[np.linalg.norm(shares - m, axis=1) <= reach].mean(axis=0) for m in modes]
        )
    density = [np.sum(np.linalg.norm(shares - m, axis=1) <= reach) for m in modes]
    near = np.linalg.norm(modes - modes[np.argmax(density)], axis=1) <= reach
    kept = near & (norms >= 0.1 * middle) & (norms <= 3 * middle)
    return clipped(x, middle)[kept].mean(axis=0)


def larger_cluster(x):
    if len(x) < 3:
        return np.arange(len(x)) == 0
    labels = fcluster(linkage(x, "average", metric="cosine"), 2, criterion="maxclust")
    sizes = [np.sum(labels == label) for label in labels]
    return labels == labels[int(np.argmax(sizes))]


def clustering(x, f):
    return x[larger_cluster(x)].mean(axis=0)


def clipped_clustering(x, f):
    return clipped(x, np.median(np.linalg.norm(x, axis=1)))[larger_cluster(x)].mean(axis=0)


def centered_clipping(x, f):
    return clipped(x, 10.0).mean(axis=0)  # one step from zero


def foolsgold_weights(history):
    n = len(history)
    unit = history / np.linalg.norm(history, axis=1, keepdims=True)
    c = unit @ unit.T
    v = [max(c[i, j] for j in range(n) if j != i) for i in range(n)]
    pardoned = c.copy()
    for i, j in itertools.permutations(range(n), 2):
        if v[i] < v[j] and v[j] > 0:
            pardoned[i, j] = c[i, j] * v[i] / v[j]
    a = np.array([1 - max(pardoned[i, j] for j in range(n) if j != i) for i in range(n)])
    a = np.clip(a, 0, 1)
    a[a <= 1e-5] = 0
    a = np.minimum(a / a.max(), 0.99) if a.max() else a
    with np.errstate(divide="ignore"):
        return np.clip(np.log(a / (1 - a)) + 0.5, 0, 1)


def foolsgold(x, f):
    w = foolsgold_weights(x)
    return w @ x / w.sum() if w.sum() else np.zeros(x.shape[1])


def near_median(history, factor=1.5):
    d = distances(history)
    radii = np.sort(d, axis=1)[:, len(history) // 2]
    middle = np.argmin(radii)
    return d[middle] <= factor * radii[middle]


def safeguard(x, f):
    return x[near_median(x)].mean(axis=0)


def robust_learning_rate(x, f):
    agree = np.abs(np.sign(x).sum(axis=0)) >= 2 * f
    return np.where(agree, 1, -1) * x.mean(axis=0)


def sign_majority(x, f):
    return np.median(np.abs(x).mean(axis=1)) * np.sign(np.sign(x).sum(axis=0))


def fltrust(x, f, *, root):
    norms = np.linalg.norm(x, axis=1)
    trust = np.maximum(0, x @ root / norms / np.linalg.norm(root))
    if trust.sum() == 0:
        return np.zeros(x.shape[1])
    return (trust * np.linalg.norm(root) / norms) @ x / trust.sum()


def zeno(x, f, *, losses):
    return x[np.argsort(losses, kind="stable")[: len(x) - f]].mean(axis=0)


def within(values):
    return np.sum((values - values.mean()) ** 2)


def least_spread(values, k):
    """The best cut of ascending values into k pieces, by trying every first piece."""

    @functools.cache
    def best(start, k):
        if k == 1:
            return within(values[start:]), start
        tries = []
        for end in range(start + 1, len(values) - k + 2):
            rest, top = best(end, k - 1)
            tries.append((within(values[start:end]) + rest, top))
        return min(tries)

    return best(0, k)


def gap_groups(values):
    """Tibshirani's rule on up to ten groups, with the draws that the rules take."""
    ordered, n = np.sort(values), len(values)
    if ordered[0] == ordered[-1]:
        return 1
    scaled = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    draws = np.sort(np.random.default_rng(0).random((n, 20)).T, axis=1)

    def logs(v):
        spreads = np.array([least_spread(v, k)[0] for k in range(1, min(10, n) + 1)])
        return np.log(np.maximum(spreads, 1e-9 * spreads[0]))

    reference = np.array([logs(v) for v in draws])
    gap = reference.mean(axis=0) - logs(scaled)
    error = reference.std(axis=0) * np.sqrt(1 + 1 / 20)
    for k in range(len(gap) - 1):
        if gap[k] >= gap[k + 1] - error[k + 1]:
            return k + 1
    return len(gap)


def top_group(values, k):
    k = min(k, len(values))
    return values >= np.sort(values)[least_spread(np.sort(values), k)[1]]


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def martfl_weights(x, baseline, chosen=None):
    """Weights, and who is in the topmost group; `chosen` is the row that is the baseline."""
    others = [i for i in range(len(x)) if i != chosen]
    weights, top = np.zeros(len(x)), np.zeros(len(x), bool)
    if chosen is not None:
        weights[chosen], top[chosen] = 1, True
    if not others:
        return weights, top
    s = np.array([cosine(x[i], baseline) for i in others])
    groups = gap_groups(s)
    if groups == 1 and np.ptp(s) > 0.05:
        groups = 2
    best = top_group(s, groups)
    good = np.ones(len(s), bool) if groups == 1 else top_group(s, 2)
    gaps = np.abs(s - s[best].mean())
    graded = 1 - gaps / max(gaps[good].max(), 1e-30)
    weights[others] = np.where(good, np.where(best | (groups == 1), 1, graded), 0)
    top[others] = best & good
    return weights, top


def martfl(x, f, *, root, losses):
    w, _ = martfl_weights(x, root)
    return w @ clipped(x, np.median(np.linalg.norm(x, axis=1))) / w.sum()


def loss(u):
    """What the tests give as the loss after a step, for NumPy and JAX: least for ones."""
    return ((u - 1) ** 2).sum(axis=-1)


def skymask_masks(rows, steps=20):
    m = np.ones(rows.shape)
    for _ in range(steps):
        s = 1 / (1 + np.exp(-m))
        mix = (s * rows).sum(axis=0) / s.sum(axis=0)
        by_mask = 2 * (mix - 1) * (rows - mix) / s.sum(axis=0) * s * (1 - s)
        m -= np.clip(1e7 * by_mask, -1, 1)
    return m


def two_normals(points, first, second):
    """Labels of a mixture of two normal distributions, after 2-means from two points."""
    centres = np.array([first, second])
    for _ in range(50):
        label = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
        centres = [
            points[label == k].mean(axis=0) if (label == k).any() else c
            for k, c in enumerate(centres)
        ]
    label = np.linalg.norm(points[:, None] - np.array(centres), axis=2).argmin(axis=1)
    share = np.eye(2)[label]
    for _ in range(50):
        logs = np.full(share.shape, -np.inf)
        for k in range(2):
            size = share[:, k].sum()
            if size > 0:
                gaps = points - share[:, k] @ points / size
                covariance = (share[:, k] * gaps.T) @ gaps / size + 1e-6 * np.eye(2)
                squares = np.sum(gaps @ np.linalg.inv(covariance) * gaps, axis=1)
                logs[:, k] = np.log(size) - (np.linalg.slogdet(covariance)[1] + squares) / 2
        share = np.exp(logs - logs.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
    return share[:, 1] > 0.5


def skymask(x, f, *, root, losses_of):
    rows = np.vstack([x, root])
    on = skymask_masks(rows) > 0
    centred = on - on.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    points = left[:, :2] * size[:2] / max(size[0], 1e-30) * np.sqrt(len(rows))
    far = np.linalg.norm(points - points[-1], axis=1).round(5).argmax()
    second = two_normals(points, points[-1], points[far])
    kept = second[:-1] == second[-1]
    return x[kept].mean(axis=0) if kept.any() else root


def fldetector(x, f):
    return np.median(x, axis=0)  # without memory nobody is suspect


def bfgs(steps, bends):
    """The BFGS matrix itself, pair by pair."""
    use = [(s, y) for s, y in zip(steps, bends) if y @ s > 1e-7 * (s @ s)]
    size = steps.shape[1]
    if not use:
        return np.zeros((size, size))
    s, y = use[-1]
    b = y @ s / (s @ s) * np.eye(size)
    for s, y in use:
        b = b - np.outer(b @ s, b @ s) / (s @ b @ s) + np.outer(y, y) / (y @ s)
    return b


def flame(x, f):
    """HDBSCAN of scikit-learn finds the majority; without noise."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    if len(x) == 1:
        return x[0]
    tree = HDBSCAN(
        min_cluster_size=len(x) // 2 + 1,
        min_samples=1,
        metric="precomputed",
        allow_single_cluster=True,
        copy=True,
    )
    kept = tree.fit_predict(np.maximum(1 - unit @ unit.T, 0)) == 0
    return clipped(x, np.median(np.linalg.norm(x, axis=1)))[kept].mean(axis=0)


def lasa(x, f, layers=None, kept=0.9):
    rows, d = clipped(x, np.median(np.linalg.norm(x, axis=1))), x.shape[1]
    seen = rows.copy()
    for row in seen:
        row[np.argsort(-np.abs(row), kind="stable")[int(kept * d) :]] = 0

    def usual(q):
        return np.abs(q - np.median(q)) <= (q.std() or np.inf)

    out, ends = [], np.cumsum(layers or [d])
    for part, whole in zip(np.split(seen, ends[:-1], axis=1), np.split(rows, ends[:-1], axis=1)):
        shares = [np.mean(v[v != 0] > 0) if v.any() else 0.5 for v in part]
        good = usual(np.linalg.norm(part, axis=1)) & usual(np.array(shares))
        out.append(whole[good if good.any() else slice(None)].mean(axis=0))
    return np.concatenate(out)


def gas(x, f, groups=100, rule=multi_krum):
    size = -(-x.shape[1] // min(groups, x.shape[1]))
    score = np.zeros(len(x))
    for start in range(0, x.shape[1], size):
        part = x[:, start : start + size]
        score += np.linalg.norm(part - rule(part, f), axis=1)
    return x[np.argsort(score, kind="stable")[: len(x) - f]].mean(axis=0)


def foundation(x, f, rule=trimmed_mean, copies=0.5):
    ends = x.max(axis=0), x.min(axis=0)
    score = np.min([np.linalg.norm(x - end, axis=1) for end in ends], axis=0)
    return rule(np.vstack([x] + [x[score.argmax()]] * int(copies * len(x))), f)


def projected(x, f):
    return geometric_median(x, f)  # of few columns nothing is projected


def projected_krum(x, f):
    return krum(x, f)


def projected_caf(x, f):
    return caf(x, f)


def projected_nnm(x, f):
    return geometric_median(nnm(x, f), f, steps=32)  # as many as the rule, which is not there yet


def learnt_weights(x, f, *, losses_of):
    rows, w = clipped(x, np.median(np.linalg.norm(x, axis=1))), np.full(len(x), 1 / len(x))
    for _ in range(20):
        slopes = rows @ (2 * (w @ rows - 1))  # of the loss that the tests give
        w = w * np.exp(-0.5 * slopes / np.abs(slopes).max())
        w = w / w.sum()
    return w @ rows


def sequential_clipping(x, f, centre=None, radius=1.0, bucket=None):
    v = np.zeros(x.shape[1]) if centre is None else centre
    cosines = [cosine(row, v) if v.any() else 0.0 for row in x]
    # Without a draw the k-th of each group of four neighbours is in bucket k.
    if bucket is None:
        bucket = np.argsort(np.argsort(cosines, kind="stable")) % 4
    for b in range(bucket.max() + 1):
        if (bucket == b).any():
            v = v + clipped(x[bucket == b] - v, radius).mean(axis=0)
    return v


def fedseca(x, f, kept=0.1):
    signs, many = np.sign(x), max(int(kept * x.shape[1]), 1)
    rho = [max(0, np.mean([np.sign(np.sum(a * b)) for b in signs])) for a in signs]
    elected = np.sign(rho @ signs)
    rows = clipped(x, np.median(np.linalg.norm(x, axis=1)))
    limit = np.median(np.abs(rows), axis=0)
    out = np.zeros(x.shape[1])
    for j in range(x.shape[1]):
        values = [
            np.clip(rows[k, j], -limit[j], limit[j])
            for k in range(len(x))
            if np.abs(x[k, j]) >= np.sort(np.abs(x[k]))[-many] and signs[k, j] * elected[j] > 0
        ]
        out[j] = np.mean(values) if values else 0
    return out


def nnm(x, f):
    keep = len(x) - f
    order = [np.argsort(row, kind="stable")[:keep] for row in distances(x)]
    return np.array([x[o].mean(axis=0) for o in order])


def clipping(x, f):
    return clipped(x, 2.0)


def arc(x, f):
    k = 2 * f * (len(x) - f) // len(x)
    return clipped(x, np.sort(np.linalg.norm(x, axis=1))[::-1][k])


def logits(u):
    """What the tests give as outputs on three inputs after a step, for NumPy and JAX."""
    return np.float32([[[1], [0.5], [-1]]]) * u[:, None, 0:2] + u[:, None, 2:4]


def hdbscan_pairs(distances):
    """Who is in one cluster with whom; too few rows are all noise."""
    if len(distances) < 3:
        return np.zeros(distances.shape, bool)
    tree = HDBSCAN(min_cluster_size=3, min_samples=3, metric="precomputed", copy=True)
    labels = tree.fit_predict(np.maximum(distances, 0))
    return (labels[:, None] == labels) & (labels >= 0)


def deepsight(x, f, layers, outputs_of):
    bias, weights = x[:, :2], x[:, 2:].reshape(len(x), -1, 2)
    energy = (np.abs(bias) + np.abs(weights).sum(axis=1)) ** 2
    normal = energy / energy.sum(axis=1, keepdims=True)
    classes = (normal > 0.5 * normal.max(axis=1, keepdims=True)).sum(axis=1)
    suspect = classes <= np.median(classes) / 2
    p = np.exp(outputs_of(np.vstack([x, np.zeros(x.shape[1])])))
    p /= p.sum(axis=-1, keepdims=True)
    divided = (p[:-1] / p[-1]).mean(axis=1)
    unit = bias / np.linalg.norm(bias, axis=1, keepdims=True)
    views = [np.linalg.norm(v[:, None] - v, axis=2) for v in (normal, divided)]
    votes = sum(hdbscan_pairs(d).astype(int) for d in (*views, 1 - unit @ unit.T))
    near = np.linalg.matrix_power((votes >= 2) | np.eye(len(x), dtype=bool), len(x)) > 0
    kept = [i for i in range(len(x)) if suspect[near[i]].mean() < 1 / 3]
    rows = clipped(x, np.median(np.linalg.norm(x, axis=1)))
    return rows[kept].mean(axis=0) if kept else np.zeros(x.shape[1])
