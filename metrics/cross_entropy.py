"""Multinomial logistic regression without penalty, as InfoMEC's explicitness takes it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack, sparray

from disentangle.metrics.common import Integers

Matrix = NDArray[np.float64]


def cross_entropy(inputs: Matrix | sparray, labels: Integers, iterations: int = 100) -> float:
    """Mean cross-entropy in nats of a logistic regression on the samples that it was fitted to.

    The fit is scikit-learn's with its defaults but for ``C=inf`` and ``class_weight="balanced"``: the same objective,
    optimiser and tolerances, iterate by iterate, in half the time. Where codes nearly separate the values it stops
    before it has converged, so that the number of iterations is part of the definition.

    Args:
        inputs: ``(N, p)``, dense or sparse.
        labels: ``(N,)`` indices ``0 … K - 1``, ``K ≥ 2``, each of which occurs.
        iterations: at most so many of L-BFGS.
    """
    n, classes = len(labels), int(labels.max()) + 1
    order = np.argsort(labels, kind="stable")
    labels = labels[order]
    weight = (1 / (classes * np.bincount(labels)))[labels]  # sums to 1, every value as heavy
    ones = np.ones((n, 1))
    rows: Any = np.hstack([inputs, ones]) if isinstance(inputs, np.ndarray) else hstack([inputs, ones], format="csr")
    rows = rows[order]
    indicator = csr_array((np.ones(n), (labels, np.arange(n))))
    true = (indicator * weight) @ rows  # (K, p + 1): the part of the gradient that does not change
    true = true if isinstance(true, np.ndarray) else true.toarray()
    columns = rows.T.copy() if isinstance(rows, np.ndarray) else rows.T.tocsr()
    free = classes if classes > 2 else 1  # of two values, the logits of the first stay at 0

    def logits(flat: Matrix) -> tuple[Matrix, Matrix]:
        weights = np.zeros((classes, rows.shape[1]))
        weights[-free:] = flat.reshape(free, -1)
        return weights, np.ascontiguousarray(weights @ columns)

    def objective(flat: Matrix) -> tuple[float, Matrix]:
        weights, z = logits(flat)
        greatest = z.max(axis=0)
        z -= greatest
        np.exp(z, out=z)
        total = z.sum(axis=0)
        loss = float(weight @ (np.log(total) + greatest) - np.sum(weights * true))
        z *= weight / total
        return loss, (z @ rows - true)[-free:].ravel()

    options = {"maxiter": iterations, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(np.float64).eps}
    start = np.zeros(free * rows.shape[1])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    z = logits(found)[1]
    greatest = z.max(axis=0)
    return float(np.mean(np.log(np.exp(z - greatest).sum(axis=0)) + greatest - z[labels, np.arange(n)]))
