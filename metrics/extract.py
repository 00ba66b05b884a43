"""Features of many pictures: batch by batch, by one process or several, as features or as their moments."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from disentangle.metrics.moments import Moments
from disentangle.pictures import from_uint8

Network = Callable[[Tensor], Tensor]
Gather = Callable[[Tensor], Tensor]
Progress = Callable[[int], None]


def extract_features(
    network: Network,
    batches: Iterable[Tensor],
    *,
    progress: Progress | None = None,
    rank: int = 0,
    processes: int = 1,
    gather: Gather | None = None,
) -> NDArray[np.float32]:
    """Features of pictures that come in batches, each as it comes: only the features stay in memory.

    Of several processes each takes every ``processes``-th batch, and all get all features, in the order of the batches.

    Args:
        network: maps pictures ``(n, c, h, w)`` in [-1, 1] to features ``(n, d)``; see
            :func:`~disentangle.metrics.load_features`.
        batches: uint8 pictures ``(n, c, h, w)``, or floats in [-1, 1], in the same order in each process. Of a
            sequence the batches of other processes are not asked for.
        progress: called after each batch with the number of pictures done, by this process.
        rank: of this process, from 0.
        processes: how many there are.
        gather: of several processes: puts a tensor of each, all of one shape and in order of rank, after each other, as
            ``accelerator.gather`` does (which may want them on its device: ``lambda t: accelerator.gather(t.to(…))``).

    Raises:
        ValueError: where there is no picture, features are no matrix, or ``gather`` is missing.
    """
    _check(rank, processes, gather)
    found: list[NDArray[np.float32]] = []
    numbers: list[int] = []
    for number, features in _each(network, batches, progress, rank, processes):
        found.append(features.float().cpu().numpy())
        numbers += [number] * len(features)
    if processes == 1 or gather is None:
        return np.concatenate(_some(found))
    return _together(found, numbers, gather)


def extract_moments(
    network: Network,
    batches: Iterable[Tensor],
    *,
    progress: Progress | None = None,
    rank: int = 0,
    processes: int = 1,
    gather: Gather | None = None,
) -> Moments:
    """Moments of the features of pictures that come in batches: memory does not grow with the number of pictures.

    Args and errors are those of :func:`extract_features`; in double precision, ``gather`` must take float64.
    """
    _check(rank, processes, gather)
    moments = Moments()
    for _, features in _each(network, batches, progress, rank, processes):
        moments.update(features)
    if processes == 1 or gather is None:
        _some([moments] if moments.n else [])
        return moments
    dimension = int(gather(torch.tensor([moments.dimension])).max())
    # a process that got no batch sends nothing, in the shape of the others
    packed = moments.pack() if moments.n else np.zeros((dimension + 3, dimension))
    parts = gather(torch.from_numpy(packed)[None]).cpu().numpy()
    return Moments.merged(_some([Moments.unpack(part) for part in parts if part[0, 0] > 0]))


def _each(
    network: Network, batches: Iterable[Tensor], progress: Progress | None, rank: int, processes: int
) -> Iterator[tuple[int, Tensor]]:
    """The number of each of this process's batches and its features."""
    own: Iterable[tuple[int, Tensor]]
    if isinstance(batches, Sequence):
        own = ((i, batches[i]) for i in range(rank, len(batches), processes))
    else:
        own = itertools.islice(enumerate(batches), rank, None, processes)
    done = 0
    weight = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    with torch.inference_mode():
        for number, images in own:
            if weight is not None:
                images = images.to(weight.device)  # as bytes: a quarter of what floats would be
            features = network(from_uint8(images) if images.dtype == torch.uint8 else images)
            if features.ndim != 2 or len(features) != len(images):
                shape = tuple(features.shape)
                raise ValueError(f"a network must map {len(images)} pictures to ({len(images)}, d), got {shape}")
            done += len(images)
            if progress is not None:
                progress(done)
            yield number, features


def _together(found: list[NDArray[np.float32]], numbers: list[int], gather: Gather) -> NDArray[np.float32]:
    """All processes' rows, in the order of the batches; what is sent is filled up to the longest."""
    width = int(gather(torch.tensor([found[0].shape[1] if found else 0])).max())
    length = int(gather(torch.tensor([len(numbers)])).max())
    rows = torch.zeros(length, width)
    places = torch.full((length,), -1)
    if found:
        rows[: len(numbers)] = torch.from_numpy(np.concatenate(found))
        places[: len(numbers)] = torch.tensor(numbers)
    all_rows, all_places = gather(rows).cpu().numpy(), gather(places).cpu().numpy()
    order = np.argsort(all_places, kind="stable")
    order = order[np.count_nonzero(all_places < 0) :]
    _some(order.tolist())
    return np.asarray(all_rows[order])


def _check(rank: int, processes: int, gather: Gather | None) -> None:
    if not 0 <= rank < processes:
        raise ValueError(f"rank must lie between 0 and {processes - 1}, got {rank}")
    if processes > 1 and gather is None:
        raise ValueError(f"{processes} processes need a way to gather what each found: pass accelerator.gather")


def _some(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("there are no pictures: at least one batch is needed")
    return values
