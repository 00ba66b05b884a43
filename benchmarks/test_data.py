"""Pictures per second of the generated data sets, on one thread.

Run with ``OMP_NUM_THREADS=1 python -m pytest benchmarks/test_data.py``. The goals are 5,000 sprites and 150 scenes of
64×64 a second. The first pictures take what all others then share; they are timed by themselves.
"""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from disentangle.data import load

BATCH = 512


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(("name", "goal"), [("sprites", 5_000), ("scenes", 150)])
def test_rate(benchmark: BenchmarkFixture, name: str, goal: int, size: int) -> None:
    data = load(name, size=size)
    indices = torch.randint(len(data), (BATCH,), generator=torch.Generator().manual_seed(0))
    benchmark.pedantic(data.images, (indices,), rounds=10, warmup_rounds=1)
    benchmark.extra_info["pictures per second"] = BATCH / benchmark.stats.stats.median
    assert BATCH / benchmark.stats.stats.median > goal


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(("name", "goal"), [("sprites", 5_000), ("scenes", 150)])
def test_rate_of_the_first_pictures(benchmark: BenchmarkFixture, name: str, goal: int, size: int) -> None:
    count = 8 * BATCH
    batches = torch.randint(720_000, (count,), generator=torch.Generator().manual_seed(0)).split(BATCH)

    def from_nothing() -> None:
        data = load(name, size=size)
        for batch in batches:
            data.images(batch % len(data))

    benchmark.pedantic(from_nothing, rounds=2)
    benchmark.extra_info["pictures per second"] = count / benchmark.stats.stats.min
    assert count / benchmark.stats.stats.min > goal
