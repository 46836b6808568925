"""What messages are about, read from the words they share: the stand-in where no theme was recorded.

An unrecorded theme is a bias that grows, next to the intervals, with the data: words of a popular theme look good.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

TOPICS = 8
_ROUNDS = 200
_TINY = 1e-9


def topic_shares(terms: Any, *, topics: int = TOPICS, seed: int = 0) -> NDArray[np.float64]:
    """The share of each topic in each message: messages x topics, rows sum to 1 (equal shares without words).

    Non-negative matrix factorisation (Lee and Seung 2001, least squares) of the words' positive pointwise mutual
    information. `terms` is a sparse messages x terms matrix of 0 and 1. With too few terms for two topics, one column
    of ones. The same seed gives the same topics.
    """
    counts = sparse.csr_matrix(terms, dtype=np.float64)
    topics = min(topics, counts.shape[1] // 2)
    if topics < 2:
        return np.ones((counts.shape[0], 1))
    association = _positive_information(counts)
    left = _factorise(association, topics, np.random.default_rng(seed))
    weight = np.asarray(counts @ left) ** 2 + _TINY  # squared: a message is mostly about one thing
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _positive_information(counts: Any) -> NDArray[np.float64]:
    """log of how much oftener two words share a message than by chance, 0 where rarer; 0 on the diagonal."""
    together = np.asarray((counts.T @ counts).toarray())
    alone = np.maximum(np.diag(together), 1.0)
    lift = (together + 0.5) * counts.shape[0] / np.outer(alone, alone)  # the half keeps an unseen pair finite
    information: NDArray[np.float64] = np.maximum(np.log(lift), 0.0) * (together > 0)
    np.fill_diagonal(information, 0.0)
    return information


def _factorise(matrix: NDArray[np.float64], topics: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """W of matrix ~ W H by multiplicative updates, its columns scaled to a greatest value of 1."""
    left = rng.random((len(matrix), topics)) + _TINY
    right = rng.random((topics, len(matrix))) + _TINY
    for _ in range(_ROUNDS):
        right *= (left.T @ matrix) / (left.T @ left @ right + _TINY)
        left *= (matrix @ right.T) / (left @ (right @ right.T) + _TINY)
    scaled: NDArray[np.float64] = left / np.maximum(left.max(axis=0), _TINY)
    return scaled
