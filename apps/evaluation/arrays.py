"""Scores of plain arrays of codes and factors, from whatever library they come."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from disentangle.apps.evaluation.codes import LEAST_CODES
from disentangle.apps.evaluation.ledger import DAMAGED, Ledger, key_of
from disentangle.apps.evaluation.measure import VERSION, Clock, code_task, compute, done_already, foot
from disentangle.apps.evaluation.score import Labelled
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.subject import versions
from disentangle.apps.evaluation.suite import CODES, select
from disentangle.apps.evaluation.team import Team
from disentangle.errors import UserError
from disentangle.metrics.common import as_codes, as_factors
from disentangle.training.draws import seeded

Json = dict[str, Any]


def measure_arrays(
    codes: Path,
    factors: Path,
    settings: Settings,
    ledger: Ledger | None = None,
    names: Sequence[str] = (),
    team: Team | None = None,
) -> Json:
    """The contents of ``report.json`` for codes ``(n, d)`` and factors ``(n, k)`` in files, but for the command.

    The rows are shuffled by the seed; ``settings.train_samples`` of them are to learn from and
    ``settings.test_samples`` to test, or all in that proportion where there are fewer.

    Args:
        codes: ``.npy``, ``.npz`` with one array or one called ``codes``, or ``.csv``.
        factors: likewise.
        settings: what is measured; only the scores of codes apply.
        ledger: where scores are kept as they are done.
        names: of the factors; by default numbers.
        team: the processes that share the work.

    Raises:
        UserError: where a file cannot be read, the arrays do not fit together, or there are too few rows.
    """
    clock = Clock()
    labelled, content = read(codes, factors, settings, names)
    inputs = {"content": content, "seed": settings.seed, "names": list(labelled.names), "versions": versions()} | {
        name: getattr(settings, name) for name in ("train_samples", "test_samples")
    }
    wanted = select(settings.scores)
    tasks = [code_task(name, lambda: labelled, settings, inputs) for name in CODES]
    if not wanted & set(CODES):
        raise UserError(
            f"of --scores {' '.join(settings.scores)} none is a score of codes: possible: {', '.join(CODES)}"
        )
    team = team or Team()
    done = team.first(lambda: done_already(tasks, ledger))
    scores = compute(tasks, wanted, done, team, ledger, clock)
    variance = labelled.codes.astype(np.float64).var(axis=0)
    count = labelled.codes.shape[1]
    return {
        "version": VERSION,
        "run": codes.stem,
        "kind": "codes",
        "seed": settings.seed,
        "data": {"codes": str(codes), "factors": list(labelled.names), "content": content},
        "samples": {"train_codes": labelled.train, "test_codes": len(labelled.codes) - labelled.train},
        "scores": [score.to_dict() for score in scores],
        "not_applicable": [],
        "notes": [],
        "codes": {
            "names": [f"code {j}" for j in range(count)],
            "variance": variance.tolist(),
            "kl": None,
            "active": (variance > 0).tolist(),
        },
    } | foot(clock)


def read(codes: Path, factors: Path, settings: Settings, names: Sequence[str]) -> tuple[Labelled, str]:
    """The arrays, shuffled and divided, and the hash of their contents."""
    table, labels = load(codes, "codes"), load(factors, "factors")
    try:
        table = as_codes(table, str(codes))
        labels = as_factors(labels, len(table), str(factors))
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from None
    if names and len(names) != labels.shape[1]:
        raise UserError(f"--factor-names has {len(names)} names and {factors} {labels.shape[1]} columns: give one each")
    wanted = settings.train_samples + settings.test_samples
    n = min(wanted, len(table))
    train = n * settings.train_samples // wanted
    if train < LEAST_CODES or train == n:
        raise UserError(
            f"the {n:,} rows of {codes} leave {train} to learn from and {n - train} to test, and at least "
            f"{LEAST_CODES} and 1 are needed: give more rows, or another ratio of --train-samples and --test-samples"
        )
    order = torch.randperm(len(table), generator=seeded(settings.seed, "codes"))[:n].numpy()
    content = key_of({"codes": hashed(table), "factors": hashed(labels)})
    known = tuple(names) or tuple(f"factor {j}" for j in range(labels.shape[1]))
    return Labelled(table[order], labels[order], train, known), content


def load(path: Path, name: str = "") -> NDArray[Any]:
    """The array in a file; of several in an ``.npz`` the one of that name.

    Raises:
        UserError: where it is missing, of another kind, or damaged.
    """
    try:
        if path.suffix == ".csv":
            return np.loadtxt(path, delimiter=",", ndmin=2)
        values = np.load(path, allow_pickle=False)
        if isinstance(values, np.ndarray):
            return values
        with values:
            only = values.files[0] if len(values.files) == 1 else name
            if only not in values.files:
                raise UserError(
                    f"{path} holds {len(values.files)} arrays ({', '.join(values.files)}): give a file of one, or call "
                    f"the one that is meant {name!r}"
                )
            return np.asarray(values[only])
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"no file {path}") from None
    except DAMAGED as error:
        reason = str(error).rstrip(".") or type(error).__name__
        if path.suffix == ".csv":
            reason += ": a table of numbers, of as many in every line and without a line of names, is expected"
        elif "allow_pickle" in reason:
            reason = "it holds Python objects, which are not loaded: save numbers, such as array.astype('int64')"
        raise UserError(
            f"{path} cannot be read as an array: {reason}; possible: .npy, .npz of one array, .csv"
        ) from None


def hashed(array: NDArray[Any]) -> str:
    """SHA-256 of an array's shape, type and bytes."""
    head = f"{array.shape}{array.dtype.str}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()
