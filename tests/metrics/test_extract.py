"""Extraction: each picture once, in order, on one process or several."""

import multiprocessing

import numpy as np
import pytest
import torch

from disentangle.metrics import Moments, extract_features, extract_moments

BATCHES = [
    torch.full((n, 1, 2, 2), i, dtype=torch.uint8) + torch.arange(n, dtype=torch.uint8)[:, None, None, None]
    for i, n in ((10, 3), (20, 1), (30, 4), (40, 2), (50, 3))
]


def network(images):
    """A callable is a network: the first pixel's byte, and its square."""
    byte = (images[:, 0, 0, 0] + 1) * 127.5
    return torch.stack([byte, byte.square()], dim=1)


EXPECTED = np.array([[b, b * b] for b in (10, 11, 12, 20, 30, 31, 32, 33, 40, 41, 50, 51, 52)])


def test_one_process():
    done = []
    found = extract_features(network, iter(BATCHES), progress=done.append)
    assert found.dtype == np.float32
    assert found == pytest.approx(EXPECTED, rel=1e-5)
    assert done == [3, 4, 8, 10, 13]
    floats = [batch.float() / 127.5 - 1 for batch in BATCHES]
    assert extract_features(network, floats) == pytest.approx(found, rel=1e-6)
    moments = extract_moments(network, iter(BATCHES))
    assert moments.n == 13
    assert moments.covariance == pytest.approx(np.cov(EXPECTED.T), rel=1e-5)


def test_a_process_asks_only_for_its_own_batches():
    asked = []

    class Lazy(list):
        def __getitem__(self, i):
            asked.append(i)
            return BATCHES[i]

    extract_moments(network, Lazy(BATCHES), rank=1, processes=2, gather=lambda tensor: tensor)
    assert asked == [1, 3]


def together(extract, processes):
    """Run all ranks in turn, with the tensors that each sends: first recorded, then put after each other."""
    sent = [[] for _ in range(processes)]
    results = []
    while len(results) < processes:  # one more collective is answered each time

        def gather(tensor, rank, calls):
            number = calls.pop(0)
            if number >= len(sent[rank]):
                sent[rank].append(tensor)
            if any(number >= len(other) for other in sent):
                raise InterruptedError
            return torch.cat([other[number] for other in sent])

        results = []
        for rank in range(processes):
            calls = list(range(9))
            try:
                results.append(extract(rank, lambda tensor, rank=rank, calls=calls: gather(tensor, rank, calls)))
            except InterruptedError:
                continue
    return results


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_several_processes_find_what_one_does(processes):
    results = together(
        lambda rank, gather: extract_features(network, BATCHES, rank=rank, processes=processes, gather=gather),
        processes,
    )
    assert len(results) == processes
    for found in results:
        assert found == pytest.approx(EXPECTED, rel=1e-5)
    moments = together(
        lambda rank, gather: extract_moments(network, BATCHES, rank=rank, processes=processes, gather=gather), processes
    )
    assert len(moments) == processes
    for part in moments:
        assert part.n == 13
        assert part.covariance == pytest.approx(Moments.of(extract_features(network, BATCHES)).covariance, rel=1e-9)


def work(rank, folder):
    """One of two processes that talk to each other."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

    def gather(tensor):
        parts = [torch.empty_like(tensor) for _ in range(2)]
        torch.distributed.all_gather(parts, tensor)
        return torch.cat(parts)

    found = extract_features(network, iter(BATCHES), rank=rank, processes=2, gather=gather)
    moments = extract_moments(network, BATCHES, rank=rank, processes=2, gather=gather)
    np.savez(f"{folder}/{rank}.npz", found=found, covariance=moments.covariance, n=moments.n)
    torch.distributed.destroy_process_group()


def test_two_real_processes(tmp_path):
    context = multiprocessing.get_context("fork")  # what is imported need not be again
    processes = [context.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as file:
            assert file["found"] == pytest.approx(EXPECTED, rel=1e-5)
            assert file["covariance"] == pytest.approx(np.cov(EXPECTED.T), rel=1e-5)
            assert file["n"] == 13


def test_bad_input():
    for extract in (extract_features, extract_moments):
        with pytest.raises(ValueError, match="no pictures"):
            extract(network, [])
        with pytest.raises(ValueError, match="between 0 and 1, got 2"):
            extract(network, BATCHES, rank=2, processes=2)
        with pytest.raises(ValueError, match="way to gather"):
            extract(network, BATCHES, processes=2)
        with pytest.raises(ValueError, match=r"map 3 pictures to \(3, d\), got \(3,\)"):
            extract(lambda images: images.flatten(1)[:, 0], BATCHES)
