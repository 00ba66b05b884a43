"""Many visitors at once: do all of them get their pictures, and does the memory stay where it is?

    python benchmarks/app_load.py RUNS --clients 50 --seconds 120

The app is started here, in a process of its own on 127.0.0.1, and only there are requests sent to. A client opens a
run as the page does, and then moves sliders: it asks for the next picture when it has the last one, a little later.
"""

import asyncio
import itertools
import multiprocessing
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import httpx
import tyro

from disentangle.apps.edit import Edit

PAUSE = 0.05
"""Seconds between a picture and the next move, at most."""


@dataclass(frozen=True)
class Args:
    """Put load on an app that is started for it."""

    runs: Annotated[Path, tyro.conf.Positional]
    """A folder of runs."""
    clients: int = 50
    """How many visitors."""
    seconds: float = 120.0
    """For how long."""


@dataclass
class Seen:
    """What a client has seen: seconds of each request, and how many ended how."""

    times: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


def serve(runs: Path, pipe: Connection) -> None:
    """The app, until something comes through the pipe."""
    from disentangle.apps.traverse.launch import launch

    serving = launch(runs, 0, block=False)
    pipe.send(serving.local_url)
    pipe.recv()
    serving.close()


def resident(pid: int) -> float:
    """Resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no resident memory of {pid}")


async def visit(address: str, number: int, end: float, seen: Seen) -> None:
    """One visitor."""
    draw = random.Random(number)
    async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
        names = (await client.get("app/runs")).json()["runs"]
        view = (await client.get("app/run", params={"run": names[number % len(names)]})).json()
        moved: dict[int, float] = {}
        while time.monotonic() < end:
            moved[draw.randrange(view["count"])] = round(draw.uniform(-3, 3), 2)
            edit = Edit(view["run"], view["directions"], tuple(moved.items()), number, weights=view["weights"])
            began = time.monotonic()
            try:
                answer = await client.get(f"picture.png?{edit.to_query()}&seen={view['seen']}")
                good = answer.status_code == 200 and answer.content.startswith(b"\x89PNG")
                seen.ends["good" if good else f"status {answer.status_code}"] += 1
            except httpx.HTTPError as error:
                seen.ends[type(error).__name__] += 1
            seen.times.append(time.monotonic() - began)
            await asyncio.sleep(draw.uniform(0, PAUSE))


async def load(address: str, clients: int, seconds: float) -> list[Seen]:
    """All visitors at once."""
    seen = [Seen() for _ in range(clients)]
    end = time.monotonic() + seconds
    await asyncio.gather(*(visit(address, i, end, seen[i]) for i in range(clients)))
    return seen


def main() -> None:
    """Put on the load, and print what came of it."""
    args = tyro.cli(Args)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(args.runs, there), daemon=True)
    server.start()
    address = here.recv()
    asyncio.run(load(address, args.clients, min(5.0, args.seconds)))  # every run is open from here on
    before = resident(server.pid or 0)
    seen = asyncio.run(load(address, args.clients, args.seconds))
    after = resident(server.pid or 0)
    here.send(None)
    server.join(30)
    times = sorted(itertools.chain.from_iterable(client.times for client in seen))
    ends = sum((client.ends for client in seen), Counter())
    counts = [len(client.times) for client in seen]
    print(  # noqa: T201
        f"{args.clients} clients, {args.seconds:g} s: {len(times):,} requests, {dict(ends)}\n"
        f"latency: median {1000 * statistics.median(times):.0f} ms, 95th percentile "
        f"{1000 * times[int(0.95 * len(times))]:.0f} ms, worst {1000 * times[-1]:.0f} ms\n"
        f"requests a client: {min(counts)} to {max(counts)}\n"
        f"resident memory: {before:.0f} MiB before, {after:.0f} MiB after"
    )


if __name__ == "__main__":
    main()
