# SPDX-License-Identifier: Apache-2.0
"""Models on a hub: a server of this machine speaks as much of its protocol as is used."""

import threading
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
from fake_hub import FakeHub

import astrojax
from astrojax.cli import export
from astrojax.errors import UserError
from astrojax.inference import model as models
from astrojax.interop import hub

hub_library = pytest.importorskip("huggingface_hub")


@pytest.fixture
def server(tmp_path, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as made:
        made.models, made.private, made.fetched = {}, {}, []
        made.url = f"http://127.0.0.1:{made.server_address[1]}"
        point_at(monkeypatch, made.url, tmp_path / "cache")
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def point_at(monkeypatch, url, cache):
    """As HF_ENDPOINT, HF_HUB_CACHE and HF_TOKEN do, which the library reads when it is imported."""
    from huggingface_hub import constants, file_download, hf_api

    for module in (constants, file_download, hf_api):
        if hasattr(module, "ENDPOINT"):
            monkeypatch.setattr(module, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(hf_api.api, "endpoint", url)
    monkeypatch.setenv("HF_TOKEN", "hf_right")


def test_a_pushed_model_is_the_one_that_is_loaded(run, images, server, capsys):
    where = "hf://me/galaxies"
    given = ["--workdir", str(run), "--push", where, "--license", "cc-by-4.0", "--private"]
    export.main(given)
    assert f"{server.url}/me/galaxies/commit/" in capsys.readouterr().out
    files = server.models["me/galaxies"]
    arrays = {f"{name}.safetensors" for name in ("model", "reference", "splits")}
    names = arrays | {"config.json", "card.json", "README.md"}
    assert set(files) == names and server.private["me/galaxies"]
    card = files["README.md"].decode()
    assert card.startswith("---\n") and "license: cc-by-4.0" in card
    assert "| bands, in this order | g, r |" in card and "| unit | nanomaggies |" in card
    model = astrojax.load(where)
    here = models.open_model(str(run), None)
    np.testing.assert_array_equal(model.embed(images[0][:4]), here.embed(images[0][:4]))
    assert model.hash == here.hash and "README.md" not in server.fetched
    # A commit that is in the cache needs no network.
    sha = FakeHub.sha(None, files)
    fetched = len(server.fetched)
    assert models.open_model(None, f"{where}@{sha}").hash == here.hash
    assert len(server.fetched) == fetched
    files["config.json"] += b" "
    with pytest.raises(UserError, match="SHA-256"):
        astrojax.load(where)


def test_what_the_hub_refuses_is_one_sentence(server, tmp_path, monkeypatch):
    server.models["me/galaxies"] = {"card.json": b"{}"}
    for where, message in (
        ("hf://me/absent", "there is no model hf://me/absent, or it is private"),
        ("hf://me/galaxies@v9", "no such branch, tag or commit"),
        ("hf://me/galaxies", "is no model bundle: it has no model.safetensors"),
        ("hf://galaxies", "write hf://owner/name"),
        ("hf://me/a/b", "write hf://owner/name"),
    ):
        with pytest.raises(UserError, match=message):
            astrojax.load(where)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UserError, match="give (a|your) token"):
        hub.push(tmp_path, "hf://me/new", ["a.txt"], "", private=False, message="m")
    point_at(monkeypatch, "http://127.0.0.1:9", tmp_path / "other")
    with pytest.raises(UserError, match="cannot be reached"):
        astrojax.load("hf://me/galaxies")


def test_a_missing_library_is_said_at_once(monkeypatch, run, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'astrojax\[hub\]'"):
        astrojax.load("hf://me/galaxies")
    for given in (["--push", "hf://me/x"], ["--license", "mit"], []):
        with pytest.raises(SystemExit, match="2"):
            export.main(["--workdir", str(run), *given])
    assert capsys.readouterr().err.count("error: ") == 3
