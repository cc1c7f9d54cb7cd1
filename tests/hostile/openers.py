# SPDX-License-Identifier: Apache-2.0
"""How a user would open each kind of file: the real readers and commands, all images read."""

import functools
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import valid
from astropy.table import Table

from astrojax.errors import UserError

INFO = {**valid.INFO, "bands": ("g", "r")}
HUB: list[int] = []  # the port of the hub on this machine, once it is needed
COLOR = {"bands": ("r", "g", "b"), "pixel_scale": None, "unit": "display"}


def _read(section: dict[str, Any]) -> None:
    from astrojax.data.open import open_sources

    for source in open_sources(section).values():
        for i in range(min(len(source), 20)):
            source[i]


def _hdf5(path: Path) -> None:
    _read({**valid.SECTION, "info": INFO, "path": str(path)})


def _galaxy10(path: Path) -> None:
    _read({"name": "galaxy10", "path": str(path)})


def _detected(path: Path) -> None:
    from astrojax.data import detect, stated

    name, place = detect.recognise(str(path), {})
    said = stated.of_file(name, place)
    section = {"name": name, "info": {**INFO, **said}}
    _read(section | detect.look(name, place, INFO["bands"], {}))


def _npz(path: Path) -> None:
    from astrojax.data import detect

    detect.look("npz", str(path), INFO["bands"], {})
    _read({"name": "npz", "path": str(path), "columns": {"image": "images"}, "info": INFO})


def _blob(path: Path) -> None:
    _read({"name": "npz", "path": str(path), "columns": {"image": "blob"}, "info": COLOR})


def _encoded(path: Path) -> None:
    _read({"name": "parquet", "path": str(path), "columns": {"image": "image"}, "info": COLOR})


def _folder(path: Path) -> None:
    _read({"name": "folder", "path": str(path), "info": COLOR})


def _fits(path: Path) -> None:
    from astrojax.data import detect

    place = f"{path}/{{id}}.fits"
    found = detect.look("fits", place, INFO["bands"], {})
    _read({"name": "fits", "info": {**INFO, "zero_point": None}} | found)


def _tfds(path: Path) -> None:
    from astrojax.data import detect

    found = detect.look("tfds", str(path), (), {})
    for name in detect.tfds_splits(found):
        _read({"name": "tfds", "splits": {"train": name}, **found})


def _catalogue(path: Path) -> None:
    from astrojax.data.tables import read_table

    table = read_table(path)
    for name in table.names:
        table.column(name)


def _bundle(path: Path) -> None:
    import astrojax

    model = astrojax.load(path)
    model.embed(valid.pixels())


def _weights(path: Path) -> None:
    from astrojax.interop import torch

    torch.read(path)


def _command(name: str, path: Path, *flags: str) -> None:
    import contextlib
    import importlib
    import io

    command = importlib.import_module(f"astrojax.cli.{name}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            command.main(["--table", str(path), *flags, "--overwrite"])
    except SystemExit as stopped:
        lines = [line for line in said.getvalue().splitlines() if line.startswith("error: ")]
        if stopped.code != 2 or len(lines) != 1:
            raise RuntimeError(f"status {stopped.code}: {said.getvalue()[-500:]}") from None
        raise UserError(lines[0].removeprefix("error: ")) from None


def _similar(path: Path) -> None:
    try:
        first = str(Table.read(path)["id"][1])
    except Exception:  # a damaged table, which the command is to name
        first = "1"
    _command("similar", path, "--id", first, "-n", "2", "--out", str(path.with_name("o.csv")))


def _anomalies(path: Path) -> None:
    _command("anomalies", path, "-k", "1", "--out", str(path.with_name("o.csv")))


def _explore(path: Path) -> None:
    out = str(path.with_name("o.html"))
    _command("explore", path, "--method", "pca", "--out", out)


def _cluster(path: Path) -> None:
    _command("cluster", path, "--num-clusters", "2", "--out", str(path.with_name("o.parquet")))


def _label(path: Path) -> None:
    from astrojax.inference import contact_sheet, label_file, label_server, labelling, search
    from astrojax.inference.stamp_pictures import Pictures

    order: dict[str, Any] = {"order": "uncertainty", "examples": (), "limit": 9, "seed": 0}
    with label_file.LabelFile(path.with_name("labels.csv")) as file:
        label_file.check_classes("a,b", list(file.labels().values()))
        rows, classes = search.Rows(path), ("a", "b")
        pictures = Pictures(contact_sheet.images_of(path, None, optional=False))
        work = labelling.begin(rows, file, classes=classes, refit_every=0, **order)
        with label_server.LabelServer(work, pictures, title=path.stem) as server:
            server.page()
            server.state()
        for name in work.ids:
            pictures.png(str(name))


def _finetune(path: Path) -> None:
    from astrojax.data.info import DataInfo
    from astrojax.data.open import Dataset
    from astrojax.data.source import ArraySource
    from astrojax.inference import starts
    from astrojax.training.recipes import finetuning

    columns = {"image": valid.pixels(), "id": np.arange(valid.N), "label": np.arange(valid.N) % 2}
    source = ArraySource(columns, DataInfo(("g", "r"), valid.SIDE, unit="arbitrary"))
    data, _ = finetuning.find_target(Dataset({"train": source}, None), ("label",), "classes")
    starts.open_start(path, data, arch=None, stem="mean")


def _hub(path: Path) -> None:
    import astrojax

    server = _server()
    server.models["me/tiny"] = {p.name: p.read_bytes() for p in path.iterdir()}
    more = path.with_name("more.json")
    if more.exists():
        server.models["me/tiny"] |= {
            name: bytes.fromhex(text) for name, text in json.loads(more.read_text()).items()
        }
    from huggingface_hub import constants

    constants.HF_HUB_CACHE = str(path.with_name("cache"))
    astrojax.load("hf://me/tiny").embed(valid.pixels())


@functools.cache
def _server() -> Any:
    """Returns a hub on this machine; to be called before the hub's library is imported."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
    import fake_hub

    assert "huggingface_hub" not in sys.modules
    server: Any = fake_hub.ThreadingHTTPServer(("127.0.0.1", 0), fake_hub.FakeHub)
    server.models, server.private, server.fetched = {}, {}, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    HUB.append(server.server_address[1])
    os.environ |= {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


HELPERS = ("_read", "_command", "_server")
OPENERS: dict[str, Callable[[Path], None]] = {
    name.removeprefix("_"): function
    for name, function in list(globals().items())
    if name.startswith("_") and callable(function) and name not in HELPERS
}


def outcome(opener: str, target: Path) -> tuple[str, str]:
    """Returns ("opens", ""), ("sentence", the message) or ("traceback", what was raised)."""
    return outcome_of(OPENERS[opener], target)


def outcome_of(function: Callable[[Path], None], target: Path) -> tuple[str, str]:
    """Returns the `outcome` of any function of a path."""
    try:
        with np.errstate(all="ignore"):
            function(target)
    except UserError as error:
        return "sentence", str(error)
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return "opens", ""
