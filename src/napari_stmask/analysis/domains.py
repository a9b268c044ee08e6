"""From embeddings to tissue domains: clustering, consensus and the number of domains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import kneighbors_graph

from ..core.errors import ParameterError
from ..core.params import Clustering
from ..core.progress import Progress, Steps, drain
from ..core.result import Domains
from .match import match_codes
from .mixture import tied_mixture_steps

__all__ = ["choose_n_domains_steps", "cluster", "cluster_steps", "reduce"]

Embedding = NDArray[np.floating[Any]]
_MINIBATCH_ABOVE = 50_000
_LEIDEN_NEIGHBOURS = 15
_SILHOUETTE_SPOTS = 2000


def reduce(embedding: Embedding, n_pcs: int, *, seed: int) -> NDArray[np.float32]:
    """The first ``n_pcs`` principal components, (n_spots, n_pcs) float32.

    Fewer where the embedding is narrower or the section has too few spots for a stable
    covariance (a tenth of the spots at most, but never below 2).
    """
    n, width = embedding.shape
    n_pcs = max(1, min(n_pcs, width, max(2, n // 10), n - 1))
    scores = PCA(n_pcs, random_state=seed).fit_transform(np.asarray(embedding, dtype=np.float64))
    return np.asarray(scores, dtype=np.float32)


def cluster(
    embedding: Embedding, n_domains: int, *, method: Clustering = "mixture", seed: int = 0
) -> Domains:
    """Split one embedding into ``n_domains``; see `cluster_steps`."""
    return drain(cluster_steps([embedding], n_domains, method=method, seed=seed))


def cluster_steps(
    embeddings: Sequence[Embedding], n_domains: int, *, method: Clustering, seed: int
) -> Steps[Domains]:
    """Split spots into ``n_domains``, by consensus where there are several embeddings.

    Each embedding is clustered on its own. The partition that agrees best with the others is
    the reference: domains of the others are matched to it one to one and the memberships are
    averaged (soft voting; Dimitriadou, Weingessel & Hornik, 2002).

    Parameters
    ----------
    embeddings
        One or more (n_spots, width) arrays of the same spots.
    n_domains
        Number of domains.
    method
        ``"mixture"`` (tied-covariance Gaussians), ``"kmeans"`` or ``"leiden"``.
    seed
        Of all random starts.

    Returns
    -------
    Domains
        Codes ordered by size (0 is the largest domain), confidence the mean membership. There
        are fewer domains where one is outvoted everywhere, and Leiden gives the nearest number
        that a resolution reaches.

    Raises
    ------
    ParameterError
        If there are more domains than spots.
    """
    n = len(embeddings[0])
    if not 1 <= n_domains <= n:
        raise ParameterError(
            f"{n_domains} domains were asked of {n} spots", f"choose between 1 and {n} domains"
        )
    memberships: list[NDArray[np.float64]] = []
    details: dict[str, Any] = {}
    for i, embedding in enumerate(embeddings):
        one, details = yield from _memberships(embedding, n_domains, method, seed + 1000 * i)
        memberships.append(one)
    width = max(one.shape[1] for one in memberships)
    mean = _soft_vote([np.pad(m, ((0, 0), (0, width - m.shape[1]))) for m in memberships])
    codes = mean.argmax(axis=1)
    rank = np.empty(width, dtype=np.intp)
    rank[np.argsort(-np.bincount(codes, minlength=width), kind="stable")] = np.arange(width)
    confidence = mean.max(axis=1) / mean.sum(axis=1)
    if len(embeddings) > 1:
        details = {"consensus_of": len(embeddings)}
    return Domains(rank[codes], confidence.astype(np.float32), method, details)


def _soft_vote(memberships: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean membership after matching all partitions to the most central one."""
    if len(memberships) == 1:
        return memberships[0]
    codes = [m.argmax(axis=1) for m in memberships]
    agreement = [sum(adjusted_rand_score(a, b) for b in codes) for a in codes]
    centre = codes[int(np.argmax(agreement))]
    k = memberships[0].shape[1]
    total = np.zeros_like(memberships[0])
    for one, code in zip(memberships, codes, strict=True):
        matched = match_codes(code, centre)
        column = np.full(k, -1)
        column[code] = matched
        free = iter(np.setdiff1d(np.arange(k), column))
        column = np.array([c if 0 <= c < k else next(free) for c in column])
        total[:, column] += one
    return total / len(memberships)


def _memberships(
    embedding: Embedding, k: int, method: Clustering, seed: int
) -> Steps[tuple[NDArray[np.float64], dict[str, Any]]]:
    """(n_spots, k) rows that sum to 1, for one embedding."""
    if method == "mixture":
        fit = yield from tied_mixture_steps(embedding, k, seed=seed)
        return fit.posterior, {
            "log_likelihood": fit.log_likelihood,
            "bic": fit.bic,
            "starts_at_best": fit.hits,
        }
    yield Progress(0, 1, "clustering")
    if method == "kmeans":
        codes, details = _kmeans(embedding, k, seed)
    else:
        codes, details = yield from _leiden(embedding, k, seed)
    return _softness(embedding, codes, max(k, int(codes.max()) + 1)), details


def _kmeans(embedding: Embedding, k: int, seed: int) -> tuple[NDArray[np.intp], dict[str, Any]]:
    kind = MiniBatchKMeans if len(embedding) > _MINIBATCH_ABOVE else KMeans
    model = kind(k, n_init=20, random_state=seed).fit(embedding)
    return np.asarray(model.labels_, dtype=np.intp), {"inertia": float(model.inertia_)}


def _leiden(
    embedding: Embedding, k: int, seed: int
) -> Steps[tuple[NDArray[np.intp], dict[str, Any]]]:
    """Leiden on a nearest-neighbour graph, the resolution bisected until k communities."""
    from graspologic_native import leiden_csr

    n = len(embedding)
    neighbours = min(_LEIDEN_NEIGHBOURS, n - 1)
    graph = kneighbors_graph(embedding, neighbours)
    graph = graph.maximum(graph.T).tocsr()
    parts = (
        graph.indptr.astype(np.int64),
        graph.indices.astype(np.int32),
        graph.data.astype(np.float64),
    )
    low, high = 1e-3, 16.0
    best: tuple[int, float, NDArray[np.intp]] | None = None
    for step in range(30):
        resolution = float(np.sqrt(low * high))
        _, community = leiden_csr(*parts, n, resolution=resolution, iterations=3, seed=seed)
        codes = np.array([community[i] for i in range(n)], dtype=np.intp)
        found = int(codes.max()) + 1
        if best is None or abs(found - k) < abs(best[0] - k):
            best = (found, resolution, codes)
        yield Progress(step + 1, 30, "clustering")
        if found == k:
            break
        low, high = (resolution, high) if found < k else (low, resolution)
    assert best is not None
    return best[2], {"resolution": best[1]}


def _softness(embedding: Embedding, codes: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """Memberships of a hard partition: 1 at the centre, 1/2 midway to the next domain.

    With d1 and d2 the distances to the own and to the nearest other centre, the own
    membership is d2 / (d1 + d2) and the other domain gets the rest.
    """
    centre = np.stack(
        [embedding[codes == j].mean(axis=0) for j in range(k) if (codes == j).any()]
        or [embedding.mean(axis=0)]
    )
    out = np.zeros((len(codes), k))
    rows = np.arange(len(codes))
    if len(centre) < k or k == 1:
        out[rows, codes] = 1
        return out
    distance = np.sqrt(
        np.maximum(
            (embedding**2).sum(axis=1)[:, None]
            - 2 * embedding @ centre.T
            + (centre**2).sum(axis=1),
            0,
        )
    )
    own = distance[rows, codes]
    distance[rows, codes] = np.inf
    other = distance.argmin(axis=1)
    next_best = distance[rows, other]
    # Above one half, so that a vote of one partition is that partition.
    share = np.clip(next_best / np.maximum(own + next_best, 1e-12), 0.5 + 1e-6, 1.0)
    out[rows, codes] = share
    out[rows, other] += 1 - share
    return out


def choose_n_domains_steps(
    embedding: Embedding, *, seed: int, lowest: int = 2, highest: int = 15, repeats: int = 6
) -> Steps[tuple[int, dict[int, float]]]:
    """The number of domains that is both reproducible and well separated.

    For each k, k-means is run on random subsamples of 80 % of the spots. Stability is the mean
    adjusted Rand index of pairs of these partitions on the spots they share (Ben-Hur, Elisseeff
    & Guyon, 2002), which alone also likes k far too small or too large; it is multiplied by the
    mean silhouette (Rousseeuw, 1987) of the partition of all spots.

    Parameters
    ----------
    embedding
        (n_spots, width).
    seed
        Of subsamples and starts.
    lowest, highest
        Range of k, cut to a fifth of the spots.
    repeats
        Subsamples per k.

    Returns
    -------
    best
        Number of domains.
    curve
        k -> stability times silhouette, at most 1.
    """
    rng = np.random.default_rng(seed)
    n = len(embedding)
    ks = range(lowest, max(lowest, min(highest, n // 5)) + 1)
    subsets = [np.sort(rng.choice(n, max(2, int(0.8 * n)), replace=False)) for _ in range(repeats)]
    curve: dict[int, float] = {}
    for k in ks:
        stable = _stability(embedding, k, subsets, rng)
        codes = KMeans(k, n_init=5, random_state=seed).fit_predict(embedding)
        separate = 0.0
        if np.unique(codes).size == k:  # fewer where rows are identical
            sample = min(n, _SILHOUETTE_SPOTS)
            separate = silhouette_score(embedding, codes, sample_size=sample, random_state=seed)
        curve[k] = stable * max(float(separate), 0.0)
        yield Progress(k - lowest + 1, len(ks), "choosing the number of domains")
    return max(curve, key=lambda k: (curve[k], -k)), curve


def _stability(
    embedding: Embedding, k: int, subsets: Sequence[NDArray[np.intp]], rng: np.random.Generator
) -> float:
    """Mean agreement of k-means on pairs of subsets, over the spots both hold."""
    labels = np.full((len(subsets), len(embedding)), -1)
    for i, subset in enumerate(subsets):
        model = KMeans(k, n_init=5, random_state=int(rng.integers(2**31)))
        labels[i, subset] = model.fit_predict(embedding[subset])
    values = []
    for first, second in combinations(labels, 2):
        both = (first >= 0) & (second >= 0)
        values.append(adjusted_rand_score(first[both], second[both]))
    return float(np.mean(values))
