"""Unsupervised disentanglement ranking: which of several models found what the others found.

Duan, Matthey, Saraiva, Watters, Burgess, Lerchner, Higgins, "Unsupervised Model Selection for Variational
Disentangled Representation Learning", ICLR 2020, arXiv 1905.12614; computed as disentanglement_lib publishes it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from torch import Tensor

from disentangle.errors import DisentangleWarning
from disentangle.metrics.baselines import halves, interval, noise, rotated
from disentangle.metrics.common import Floats, Result, as_array, as_codes, rescaled
from disentangle.metrics.information import check
from disentangle.metrics.words import dead_codes, varies, warn

Matrix = NDArray[np.float64]

Similarity = Literal["lasso", "spearman"]
SIMILARITIES: dict[str, str] = {
    "lasso": "coefficients of a lasso with penalty 0.1",
    "spearman": "rank correlations",
}
PENALTY = 0.1


@dataclass(frozen=True, eq=False)
class UDR(Result):
    """How well each model's codes are found again among the others'.

    Attributes:
        model_scores: ``(R,)``: for each, the median over the other models of its score with them, at least 0; at most 1
            but for lasso coefficients of codes that correlate strongly.
        pairwise: ``(R, R)``, the score of model ``i`` predicting model ``j``; 0 on the diagonal.
        informative: for each model, ``(d,)``: the codes that count.
        samples: ``(N,)``.
        warnings: what a reader must know, in words; each was emitted as a :class:`DisentangleWarning`, too.
        representations: what it was computed from; not in :meth:`to_dict`.
        kl: the divergences that were given.
        similarity: what codes were compared by.
        threshold: of the divergence.
        learner: what predicted codes from codes; ``None`` where nothing learns.
    """

    model_scores: Matrix
    pairwise: Matrix
    informative: tuple[NDArray[np.bool_], ...]
    samples: tuple[int, ...]
    warnings: tuple[str, ...]
    representations: tuple[Floats, ...]
    kl: tuple[Matrix, ...] | None
    similarity: Similarity
    threshold: float
    learner: str | None = None

    @property
    def score(self) -> float:
        """The mean over the models, at least 0; to choose a model, compare :attr:`model_scores`."""
        return float(self.model_scores.mean())

    @property
    def best(self) -> int:
        """Which model the others confirm most; the first of equals."""
        return int(self.model_scores.argmax())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95% interval of :attr:`score` over the choice of samples, not of models; [0, 1] below 4 samples."""
        if self.samples[0] < 4:
            return 0.0, 1.0
        rows = np.arange(self.samples[0])[:, None]

        def of(chosen: Any, _: Any) -> UDR:
            return self._again([codes[chosen[:, 0].astype(int)] for codes in self.representations], self.kl)

        low, high = interval(self.score, [half.score for half in halves(of, rows, rows, repeats=20)])
        return max(0.0, low), high

    @cached_property
    def reference_points(self) -> dict[str, float]:
        """The score of as many copies of the first model, their codes in other orders, of rotations of it, and of
        noise: ``{"rotated": …, "perfect": …, "noise": …}``."""
        first, models = self.representations[0], range(len(self.representations))
        known = first[:, self.informative[0]]
        known = known if known.size else first
        orders = [np.random.default_rng(seed).permutation(known.shape[1]) for seed in models]
        points: dict[str, list[Floats]] = {
            "rotated": [rotated(known, seed) for seed in models],
            "perfect": [known[:, order] for order in orders],
            "noise": [noise(len(known), known.shape[1], seed) for seed in models],
        }
        return {name: self._again(codes, None).score for name, codes in points.items()}

    def to_dict(self) -> dict[str, Any]:
        """The score and every part but the representations, as JSON can hold them."""
        parts = {name: part for name, part in super().to_dict().items() if name != "representations"}
        parts["informative"] = [codes.tolist() for codes in self.informative]
        parts["kl"] = None if self.kl is None else [values.tolist() for values in self.kl]
        return parts

    def _again(self, representations: Sequence[Floats], kl: Sequence[Matrix] | None) -> "UDR":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DisentangleWarning)
            return udr(representations, kl, similarity=self.similarity, threshold=self.threshold)


def udr(
    representations: Sequence[ArrayLike | Tensor],
    kl: Sequence[ArrayLike | Tensor] | None = None,
    *,
    similarity: Similarity = "lasso",
    threshold: float = 0.01,
) -> UDR:
    r"""Score models without labels: disentangled codes are alike from model to model, entangled ones each in their way.

    The codes of two models for the same pictures are compared, each with each, in a matrix :math:`R`. Up to order and
    sign, codes that mean the same make it a permutation matrix, which is what

    .. math:: \tfrac12 \Big(\operatorname{mean}_b \frac{\max_a R_{ab}^2}{\sum_a R_{ab}}
              + \operatorname{mean}_a \frac{\max_b R_{ab}^2}{\sum_b R_{ab}}\Big)

    sees. A model's score is the median over the others. The models should differ in their seeds alone; codes are
    standardised first. With the lasso, equal codes have a coefficient of 0.9, so 0.9 is about the best there is.

    What the published code leaves open: a constant code is like no other (published: with rank correlations 0/0, which
    makes every score of its model 0, unless ``kl`` leaves it out), and a model of which no code is informative
    scores 0. Models may have different numbers of codes.

    Args:
        representations: of each of ``R ≥ 2`` models, ``(N, d)`` floats, NumPy or torch: its codes for the same ``N``
            pictures. 1,000 pictures are enough.
        kl: of each model, ``(d,)``: the mean divergence of each code's posterior from the prior, in nats; codes that
            do not tell pictures apart have next to none. ``None`` counts every code that is not constant, also those of
            noise, which lower the score of a model that has them.
        similarity: ``"lasso"``, the absolute coefficients of a lasso that predicts model ``j`` from model ``i``, as
            published; ``"spearman"``, absolute rank correlations, as published, too.
        threshold: in nats; codes of no more divergence do not count. The published number is 0.01.

    Raises:
        UserError: for an unknown similarity.
        ValueError: for fewer than two models, shapes that do not fit, or values that are not finite.

    Warns:
        DisentangleWarning: where a code is dead or a model has no informative code.
    """
    check("similarity", similarity, SIMILARITIES)
    models = [as_codes(codes, f"representations[{r}]") for r, codes in enumerate(representations)]
    if len(models) < 2:
        raise ValueError(f"UDR compares at least 2 models, got {len(models)}")
    if len({len(codes) for codes in models}) > 1:
        raise ValueError(f"all models must see the same pictures, got {[len(codes) for codes in models]} rows of codes")
    divergences = None if kl is None else _divergences(kl, models)
    informative = tuple(varies(codes) for codes in models)
    if divergences is not None:
        informative = tuple(few & (values > threshold) for few, values in zip(informative, divergences))
    chosen = [_standardised(codes)[:, kept] for codes, kept in zip(models, informative)]
    pairwise = np.zeros((len(models), len(models)))
    for i, source in enumerate(chosen):
        for j, target in enumerate(chosen):
            if i != j and source.size and target.size:
                pairwise[i, j] = _strength(_similarity(source, target, similarity))
    counted = "every code" if kl is None else f"codes above {threshold:g} nats"
    others = ~np.eye(len(models), dtype=bool)
    return UDR(
        f"{SIMILARITIES[similarity]}, {counted}, median over the other models",
        np.array([np.median(pairwise[others[:, j], j]) for j in range(len(models))]),
        pairwise,
        informative,
        (len(models[0]),),
        warn(_words(models, informative, divergences, threshold)),
        tuple(models),
        divergences,
        similarity,
        threshold,
        learner=f"lasso, penalty {PENALTY:g}" if similarity == "lasso" else None,
    )


def _divergences(kl: Sequence[ArrayLike | Tensor], models: list[Floats]) -> tuple[Matrix, ...]:
    if len(kl) != len(models):
        raise ValueError(f"kl must have one entry a model, got {len(kl)} for {len(models)}")
    checked = []
    for r, (values, codes) in enumerate(zip(kl, models)):
        row = values[None] if isinstance(values, Tensor) else np.asarray(values)[None]
        checked.append(as_array(row, f"kl[{r}]")[0].astype(np.float64))
        if len(checked[-1]) != codes.shape[1]:
            raise ValueError(f"kl[{r}] must have a number for each of {codes.shape[1]} codes, got {len(checked[-1])}")
    return tuple(checked)


def _standardised(codes: Floats) -> Matrix:
    x = rescaled(codes, axis=0)
    centred = x - x.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.asarray(np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0))


def _similarity(source: Matrix, target: Matrix, similarity: Similarity) -> Matrix:
    """``(d, e)``, none negative: how far each code of one model is like each code of another."""
    if similarity == "spearman":
        ranks = [_standardised(rankdata(codes, axis=0)) for codes in (source, target)]
        return np.minimum(np.abs(ranks[0].T @ ranks[1]) / len(source), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of few samples, which are published like any others
        fitted = Lasso(alpha=PENALTY).fit(source, target)
    return np.asarray(np.abs(fitted.coef_.reshape(target.shape[1], source.shape[1])).T)


def _strength(matrix: Matrix) -> float:
    """How near a matrix is to a permutation of a diagonal one."""

    def of_columns(m: Matrix) -> float:
        total = m.sum(axis=0)
        return float(np.divide(np.square(m.max(axis=0)), total, out=np.zeros_like(total), where=total > 0).mean())

    return (of_columns(matrix) + of_columns(matrix.T)) / 2


def _words(
    models: list[Floats],
    informative: tuple[NDArray[np.bool_], ...],
    kl: tuple[Matrix, ...] | None,
    threshold: float,
) -> list[str]:
    words = [f"model {r}: {word}" for r, codes in enumerate(models) for word in dead_codes(codes) if kl is None]
    empty = [r for r, kept in enumerate(informative) if not kept.any()]
    words += [f"model {r} has no informative code (divergence above {threshold:g}): it scores 0" for r in empty]
    return words
