"""Many visitors at once: do all of them get their pictures, and does the memory stay where it is?

    python benchmarks/app_load.py RUNS --clients 50 --seconds 120

The app is started here, in a process of its own on 127.0.0.1, and only there are requests sent to. A client opens a
run as the page does, and then moves sliders: it asks for the next picture when it has the last one, a little later, and
now and then, as the page does at rest, for a strip of seven. Ends with an error where a request has not been answered
well or a client not at all.
"""

import asyncio
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
STRIPS = 0.05
"""Share of the requests that are for a strip."""
GOOD = "good"


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
    """What a client has seen: seconds of each picture and of each strip, and how many ended how."""

    times: list[float] = field(default_factory=list)
    strips: list[float] = field(default_factory=list)
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
            k = draw.randrange(view["count"])
            moved[k] = round(draw.uniform(-3, 3), 2)
            strip = draw.random() < STRIPS
            edit = Edit(view["run"], view["directions"], tuple(moved.items()), number, weights=view["weights"])
            began = time.monotonic()
            try:
                query = f"{edit.to_query()}&seen={view['seen']}"
                answer = await client.get(f"app/strip?{query}&along={k}" if strip else f"picture.png?{query}")
                good = answer.status_code == 200 and (strip or answer.content.startswith(b"\x89PNG"))
                seen.ends[GOOD if good else f"status {answer.status_code}"] += 1
            except httpx.HTTPError as error:
                seen.ends[type(error).__name__] += 1
            (seen.strips if strip else seen.times).append(time.monotonic() - began)
            await asyncio.sleep(draw.uniform(0, PAUSE))


async def watch(pid: int, end: float) -> list[float]:
    """The memory of a process, ten times until the end."""
    pause, found = (end - time.monotonic()) / 10, []
    for _ in range(10):
        await asyncio.sleep(pause)
        found.append(resident(pid))
    return found


async def load(address: str, pid: int, clients: int, seconds: float) -> tuple[list[Seen], list[float]]:
    """All visitors at once, and the server's memory meanwhile."""
    seen = [Seen() for _ in range(clients)]
    end = time.monotonic() + seconds
    memory, *_ = await asyncio.gather(watch(pid, end), *(visit(address, i, end, seen[i]) for i in range(clients)))
    return seen, memory


def said(seconds: list[float]) -> str:
    """Median, 95th percentile and worst, in words."""
    times = sorted(seconds) or [0.0]
    return (
        f"{len(seconds):,}, median {1000 * statistics.median(times):.0f} ms, 95th percentile "
        f"{1000 * times[int(0.95 * len(times))]:.0f} ms, worst {1000 * times[-1]:.0f} ms"
    )


def main() -> None:
    """Put on the load, and print what came of it."""
    args = tyro.cli(Args)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(args.runs, there), daemon=True)
    server.start()
    address, pid = here.recv(), server.pid or 0
    asyncio.run(load(address, pid, args.clients, min(5.0, args.seconds)))  # every run is open from here on
    seen, memory = asyncio.run(load(address, pid, args.clients, args.seconds))
    here.send(None)
    server.join(30)
    ends = sum((client.ends for client in seen), Counter())
    counts = [len(client.times) for client in seen]
    print(  # noqa: T201
        f"{args.clients} clients, {args.seconds:g} s: {dict(ends)}\n"
        f"pictures: {said([t for client in seen for t in client.times])}\n"
        f"strips: {said([t for client in seen for t in client.strips])}\n"
        f"pictures a client: {min(counts)} to {max(counts)}\n"
        f"resident memory in MiB: {', '.join(f'{mib:.0f}' for mib in memory)}"
    )
    if set(ends) != {GOOD} or not min(counts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
