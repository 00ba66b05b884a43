"""Pictures that were inverted, as a run keeps them: what is read again, what is damaged, what is of other weights."""

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from disentangle.apps.edit import Edit
from disentangle.apps.kept import KeptPicture, keep_picture, load_picture, pictures
from disentangle.apps.studio import Studio, picture, start
from disentangle.errors import UserError
from tests.runs import gan_run


def test_a_kept_picture_is_where_an_edit_starts(tmp_path: Path) -> None:
    gan_run(tmp_path / "grey")
    view = Studio(tmp_path).open("grey", "subspace")
    latents = torch.full((1, view.generator.latent_size), 0.25)
    original = torch.zeros(1, 32, 32, dtype=torch.uint8)
    name = keep_picture(view.run, KeptPicture(latents, original, view.weights, 0.5))
    assert keep_picture(view.run, KeptPicture(latents, original, view.weights, 0.5)) == name
    assert pictures(view.run) == [name]
    kept = load_picture(view.run, name)
    assert torch.equal(kept.latents, latents)
    assert kept.error == 0.5
    assert torch.equal(start(view, Edit("grey", picture=name, truncation=0.5)), latents / 2)
    file = tmp_path / "grey" / "pictures" / f"{name}.safetensors"
    for damage in (
        {"latents": latents * torch.nan, "original": original},
        {"latents": latents[0], "original": original},
        {"latents": latents},
    ):
        described = {"picture": json.dumps({"weights": view.weights, "error": 0.5})}
        file.write_bytes(safetensors.torch.save(damage, described))
        with pytest.raises(UserError, match="is damaged"):
            load_picture(view.run, name)
    file.write_bytes(os.urandom(100))
    with pytest.raises(UserError, match="is damaged"):
        load_picture(view.run, name)
    keep_picture(view.run, KeptPicture(latents, original, "0" * 64, 0.5))
    other = next(found for found in pictures(view.run) if found != name)
    with pytest.raises(UserError, match="other weights"):
        picture(view, Edit("grey", picture=other))
    with pytest.raises(UserError, match="no inverted picture 'none'"):
        load_picture(view.run, "none")
