"""Every rule again, in slow float64 numpy loops written from the definitions, for any input."""

import itertools

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage


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


def geometric_median(x, f):
    """Weiszfeld until nothing moves; `test_rules.py` checks stationarity as well."""
    z = np.median(x, axis=0)
    for _ in range(5000):
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


def nnm(x, f):
    keep = len(x) - f
    order = [np.argsort(row, kind="stable")[:keep] for row in distances(x)]
    return np.array([x[o].mean(axis=0) for o in order])


def clipping(x, f):
    return clipped(x, 2.0)


def arc(x, f):
    k = 2 * f * (len(x) - f) // len(x)
    return clipped(x, np.sort(np.linalg.norm(x, axis=1))[::-1][k])
