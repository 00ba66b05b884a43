"""Two processes train as one on the whole batch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import RECIPES

from disentangle.training.architectures import ResNetConfig
from disentangle.training.run import Run
from disentangle.treatments import TreatmentConfig


@pytest.mark.parametrize(
    ("kind", "names"),
    [*((kind, ("ol", "nog", "olr")) for kind in sorted(RECIPES)), ("classifier", ("ow", "nog", "olr"))],
)
def test_two_processes_equal_one(tmp_path: Path, root: Path, kind: str, names: tuple[str, ...]) -> None:
    recipe = replace(
        RECIPES[kind],
        precision="float64",
        steps=5,
        treatment=TreatmentConfig(names),
        data=replace(RECIPES[kind].data, flip=True),
    )
    if "ow" in names:  # both meta-layers, and both kinds of orthogonal weights
        recipe = replace(recipe, model=ResNetConfig(depth="small", pool="covariance", pool_channels=4))
    weights = []
    environment = os.environ | {"PYTHONPATH": str(root)}
    for processes in (1, 2):
        run = Run.draft(tmp_path / str(processes), "tiny", recipe)
        run.create()
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] * (processes > 1)
        subprocess.run(
            [sys.executable, *launcher, "-m", "disentangle", "train", "--resume", str(run.path), "--device", "cpu"],
            env=environment,
            check=True,
            capture_output=True,
        )
        files = sorted(run.checkpoint_path(5).glob("*/*.safetensors"))
        assert len(files) == (3 if kind == "gan" else 2)
        weights.append(
            {f"{file.parent.name}.{name}": tensor for file in files for name, tensor in load_file(file).items()}
        )
        assert len(run.metrics()) == 5
    alone, together = weights
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        assert tensor.dtype in (torch.float64, torch.int64)
        assert torch.allclose(tensor, together[name], rtol=0, atol=1e-9), name
    metrics = [Run.open(tmp_path / n).metrics()[-1] | {"time": 0.0} for n in ("1", "2")]
    for row in metrics:  # the pooling's covariances are those of the first process's first pictures
        for name in [name for name in row if name.endswith("/pooling")]:
            del row[name]
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-6)
