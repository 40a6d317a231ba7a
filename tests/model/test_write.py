"""Saving over another model: a kill at any moment leaves the old one, the new one, or what does not load."""

import os

import pytest
import torch

from instructor_embedding import CheckpointError
from instructor_embedding.model.folder import write as layout
from instructor_embedding.model.folder.read import read
from tests.golden.make_checkpoints import golden_model


class Kill(BaseException):
    pass


def same(model_read, expected):
    pairs = zip(model_read.encoder.state_dict().items(), expected.encoder.state_dict().values(), strict=True)
    heads = zip(model_read.head.state_dict().items(), expected.head.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for (_, mine), theirs in [*pairs, *heads])


@pytest.mark.parametrize("before", layout.LAYOUTS)
@pytest.mark.parametrize("after", layout.LAYOUTS)
def test_no_mixture_of_two_models_loads(tmp_path, monkeypatch, before, after):
    old, new = golden_model("relu"), golden_model("relu")
    for parameter in [*new.encoder.parameters(), *new.head.parameters()]:
        parameter.data += 1
    real, states = os.replace, set()
    for moment in range(30):
        folder = tmp_path / str(moment)
        layout.write(old, folder, before)
        left = moment

        def replace(source, target):
            nonlocal left
            left -= 1
            if left < 0:
                raise Kill
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(layout.os, "replace", replace)
            try:
                layout.write(new, folder, after)
                done = True
            except Kill:
                done = False
        try:
            model_read = read(folder)
        except CheckpointError:
            states.add("refused")
        else:
            assert same(model_read, new if done else old), moment
            states.add("new" if same(model_read, new) else "old")
        if done:
            break
    assert done
    assert states == {"refused", "new"}
