"""Scalars of a training: one JSON object a line, and TensorBoard's files where they are wanted."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from disentangle.errors import UserError
from disentangle.training.files import disk_errors, write_atomic
from disentangle.training.run import Run


class MetricsLog:
    """Appends rows to a run's ``metrics.jsonl``: the step, the seconds of training until then, and the scalars.

    Args:
        run: the run.
        start: step from which training goes on; rows beyond it, and an unfinished row, are removed.
        tensorboard: write TensorBoard's event files into ``tensorboard/``, too.

    Raises:
        UserError: where the file cannot be written, or TensorBoard is wanted and not installed.
    """

    def __init__(self, run: Run, start: int, tensorboard: bool) -> None:
        kept = [row for row in run.metrics() if row["step"] <= start]
        write_atomic(run.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))
        self.path = run.metrics_path
        # Of what was lost with the rows beyond the checkpoint the time does not count.
        self.spent = float(kept[-1].get("time", 0.0)) if kept else 0.0
        self.began = time.monotonic()
        self.tensorboard: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise UserError("--tensorboard needs the extra: pip install 'disentangle-svd[tensorboard]'") from None
            self.tensorboard = SummaryWriter(str(run.path / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """Append the scalars of ``step``; on disk when this returns."""
        with disk_errors(self.path), self.path.open("a") as file:
            seconds = round(self.spent + time.monotonic() - self.began, 3)
            file.write(json.dumps({"step": step, "time": seconds, **row}, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self.tensorboard is not None:
            for name, value in row.items():
                self.tensorboard.add_scalar(name, value, step)

    def close(self) -> None:
        """Finish TensorBoard's files."""
        if self.tensorboard is not None:
            self.tensorboard.close()
