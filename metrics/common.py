"""What the metrics share: the shape of a result, and the checks of what is handed in."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

EXACT = 2**53
"""Integers of no greater size are doubles."""

LARGEST = 1e50
"""Of features: the cubic kernel multiplies six of them."""


@dataclass(frozen=True, eq=False)
class Result:
    """A score and what it was made of.

    Attributes:
        variant: the definition that was computed; two variants of one metric are not comparable.
    """

    variant: str

    @property
    def score(self) -> float:
        """The metric's number."""
        raise NotImplementedError

    def __float__(self) -> float:
        return self.score

    def to_dict(self) -> dict[str, Any]:
        """The score and every part, as numbers, strings, lists and dicts that JSON can hold."""
        parts = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return {"score": self.score, **parts}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def as_array(values: ArrayLike | Tensor, name: str) -> NDArray[Any]:
    """``values`` as a NumPy array of two dimensions with at least one row and column.

    Raises:
        ValueError: where the shape is another, or a value is not finite.
        TypeError: where the values are not numbers.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    else:
        if np.ma.is_masked(values):
            raise ValueError(f"{name} must have a value everywhere, got masked ones")
        array = np.asarray(values)
    if array.dtype.kind == "O":
        array = _numbers(array, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, got {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must be a non-empty matrix, one row a sample, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} NaN or infinite values")
    return array


def as_features(values: ArrayLike | Tensor, name: str) -> NDArray[Any]:
    """As :func:`as_array`, of numbers that can be multiplied six times without becoming infinite.

    Raises:
        ValueError: likewise, or where a value is larger.
        TypeError: where the values are not numbers.
    """
    array = as_array(values, name)
    largest = float(np.abs(array).max())
    if largest > LARGEST:
        raise ValueError(f"{name} has values of up to {largest:.1g}, too large to compute with: at most {LARGEST:g}")
    return array


def _numbers(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """An array of Python objects as numbers, such as a data frame of mixed columns hands out."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be real numbers, got objects that are none: {error}") from None


def as_codes(codes: ArrayLike | Tensor, name: str = "codes") -> Floats:
    """Codes ``(N, d)`` in the floating-point type they came in (half precision widened, other numbers to float64)."""
    array = as_array(codes, name)
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def rescaled(values: Floats, axis: int | None = None) -> NDArray[np.float64]:
    """Values divided by a power of two near their greatest, where that is so great or small that squares get lost.

    Args:
        values: of any shape.
        axis: 0 to divide each column by its own.
    """
    exponent = np.frexp(np.abs(values).max(axis=axis, keepdims=True))[1]
    return np.ldexp(values.astype(np.float64), np.where(np.abs(exponent) > 60, -exponent, 0))


def as_targets(factors: ArrayLike | Tensor, samples: int, name: str = "factors") -> NDArray[Any]:
    """Factors ``(N, k)`` of any real type, one row a code's row.

    Raises:
        ValueError: where rows do not fit, or integers are too large to be told apart.
    """
    array = as_array(factors, name)
    if array.shape[0] != samples:
        raise ValueError(f"{name} must have a row for every code, got {array.shape[0]} rows for {samples} codes")
    if array.dtype.kind in "iu":
        _check_exact(array, name)
    return array


def _check_exact(array: NDArray[Any], name: str) -> None:
    """Raise ValueError for values beyond those up to which doubles hold every integer."""
    largest = max(abs(int(array.min())), abs(int(array.max())))
    if largest > EXACT:
        raise ValueError(
            f"{name} has values of up to {largest:.3g}, too large to be told apart (at most 2^53): give each value its "
            "index, such as np.unique(column, return_inverse=True)[1]"
        )


def as_factors(factors: ArrayLike | Tensor, samples: int, name: str = "factors") -> Integers:
    """Factors ``(N, k)`` as int64, one row a code's row; raises ValueError where they are no integers, or too large."""
    array = as_targets(factors, samples, name)
    _check_exact(array, name)
    integers: Integers = array.astype(np.int64)
    if not np.array_equal(integers, array):
        raise ValueError(f"{name} must be integers, the index of each factor's value; bin continuous factors first")
    return integers


def as_split(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor,
    test_factors: ArrayLike | Tensor,
) -> tuple[Floats, Integers, Floats, Integers]:
    """Codes and factors to learn from and others to test on, all checked; raises ValueError where columns differ."""
    train, test = as_codes(codes), as_codes(test_codes, "test_codes")
    targets = as_factors(factors, len(train))
    test_targets = as_factors(test_factors, len(test), "test_factors")
    for name, one, other in (("codes", train, test), ("factors", targets, test_targets)):
        if one.shape[1] != other.shape[1]:
            raise ValueError(f"{name} and test_{name} differ in columns: {one.shape[1]} and {other.shape[1]}")
    return train, targets, test, test_targets
