# SPDX-License-Identifier: Apache-2.0
"""Readers take tensors out of files, and refuse everything else."""

import os
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from astrojax.errors import UserError
from astrojax.interop import torch as torch_weights


def test_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a.weight": np.arange(6.0).reshape(2, 3)}, str(path))
    np.testing.assert_array_equal(
        torch_weights.read(path)["a.weight"], np.arange(6.0).reshape(2, 3)
    )


@pytest.mark.parametrize("name, words", [("w.safetensors", "safetensors"), ("w.onnx", "w.onnx")])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=words):
        torch_weights.read(tmp_path / name)
    with pytest.raises(UserError, match="does not exist"):
        torch_weights.read(tmp_path / f"absent{name}")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch, the optional extra, is not installed")


@pytest.mark.parametrize("entry", [None, *torch_weights.STATE_DICTS])
def test_checkpoints(tmp_path, torch, entry):
    weights = {"a": torch.arange(3.0), "b": torch.ones(2, dtype=torch.bfloat16)}
    checkpoint = weights if entry is None else {entry: weights, "epoch": 3, "arch": "resnet18"}
    path = tmp_path / "model.pth.tar"
    torch.save(checkpoint, path)
    found = torch_weights.read(path)
    assert set(found) == {"a", "b"} and found["b"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], [0, 1, 2])


def test_an_entry_can_be_chosen(tmp_path, torch):
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a": torch.ones(1)}, "ema": {"b": torch.zeros(1)}}, path)
    assert set(torch_weights.read(path, entry="ema")) == {"b"}
    with pytest.raises(UserError, match="under emma.*'ema'"):
        torch_weights.read(path, entry="emma")


class Malicious:
    """Unpickling it creates the file it was made with."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("container", ["pickle", "zip"])
def test_a_pickle_that_runs_code_is_refused_and_writes_nothing(tmp_path, torch, container):
    victim, path = tmp_path / "victim", tmp_path / "model.pth"
    if container == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": Malicious(victim)}))
    else:
        torch.save({"state_dict": Malicious(victim)}, path)
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError, match="refused") as caught:
        torch_weights.read(path)
    assert "\n" not in str(caught.value)
    assert set(tmp_path.iterdir()) == before == {path}
    if container == "zip":  # and it does bite one who trusts it
        torch.load(path, weights_only=False)
        assert victim.exists()


def test_without_pytorch_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    path = tmp_path / "model.pth"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match=r"astrojax\[torch\]"):
        torch_weights.read(path)
