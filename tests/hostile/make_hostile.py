# SPDX-License-Identifier: Apache-2.0
"""Hostile files: every kind of attack and damage, for every reader, with the sentence it gets.

    python tests/hostile/make_hostile.py /tmp/hostile --seeds 4

writes one folder for each case. `outside` stands beside them: no case may touch what is in it.
"""

import argparse
import dataclasses
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import valid
from astropy.io import fits
from PIL import Image

ANY = ""  # a damaged file: one sentence, or it opens, as some damage changes nothing
OPENS = None
TABLES = ("similar", "anomalies", "explore", "cluster", "label")  # openers of tables


@dataclasses.dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        name: Its folder.
        opener: Which function of `openers` opens it.
        target: What to open, relative to the folder.
        sentence: Part of the message it gets; ANY, or OPENS where it has to open.
    """

    name: str
    opener: str
    target: str
    sentence: str | None


def make(root: Path, seeds: int) -> Iterator[Case]:
    """Writes the cases below `root` and yields them; `seeds` variants of each random damage."""
    outside = root / "outside"
    outside.mkdir(parents=True)
    valid.hdf5(outside / "secret.h5")
    np.arange(4 * 8 * 8 * 2, dtype="f4").tofile(outside / "secret.raw")
    (outside / "secret.csv").write_text("id,z\n1,2\n")
    (outside / "evil.py").write_text("open(__file__ + '.ran', 'w').close()\n")
    base = root / "base"
    valid.write_all(base)
    for maker in (
        links,
        archives,
        classes,
        metadata,
        pictures,
        names,
        catalogues,
        bundles,
        beside,
        hub,
    ):
        for i, (kind, opener, target, sentence, write) in enumerate(maker(outside)):
            folder = root / f"{maker.__name__}-{i:03d}-{kind}"
            folder.mkdir()
            write(folder)
            yield Case(folder.name, opener, target, sentence)
    yield from damaged(root, base, seeds)


def _makers() -> tuple:
    tables = (metadata, names, beside)
    return (links, archives, classes, pictures, catalogues, bundles, hub, *tables)


def damaged(root: Path, base: Path, seeds: int) -> Iterator[Case]:
    """Every valid file, truncated, with bits flipped, replaced, zeroed, doubled and emptied."""
    for opener, target, files in valid.FILES:
        for file in files:
            for how in ("truncated", "flipped", "replaced", "zeroed", "doubled", "emptied"):
                for seed in range(1 if how in ("doubled", "emptied") else seeds):
                    tag = file.replace("/", "_")
                    folder = root / f"damaged-{opener}-{tag}-{how}-{seed}"
                    shutil.copytree(base / opener, folder)
                    data = bytearray((folder / file).read_bytes())
                    (folder / file).write_bytes(damage(data, how, seed))
                    yield Case(folder.name, opener, target, ANY)


def damage(data: bytearray, how: str, seed: int) -> bytes:
    """Returns damaged bytes."""
    rng = np.random.default_rng([seed, len(data)])
    # Half of the damage is in the first or the last kilobyte, where formats keep their headers.
    edge = min(1024, len(data))
    place = int(rng.integers(len(data)))
    if seed % 2:
        place = int(rng.choice([rng.integers(edge), len(data) - 1 - rng.integers(edge)]))
    span = slice(place, min(len(data), place + int(rng.integers(1, 64))))
    if how == "truncated":
        return bytes(data[:place])
    if how == "flipped":
        data[place] ^= 1 << int(rng.integers(8))
    elif how == "replaced":
        data[span] = rng.bytes(span.stop - span.start)
    elif how == "zeroed":
        data[span] = bytes(span.stop - span.start)
    return bytes(data * 2 if how == "doubled" else b"" if how == "emptied" else data)


def links(outside: Path) -> Iterator[tuple]:
    """HDF5 files whose datasets are elsewhere."""
    secret, raw = str(outside / "secret.h5"), str(outside / "secret.raw")

    def write(folder: Path, name: str, kind: str) -> None:
        path = folder / "a.h5"
        valid.hdf5(path)
        with h5py.File(path, "a") as file:
            del file[name]
            shape = (4, 8, 8, 2) if name == "images" else (4,)
            if kind == "external":
                file[name] = h5py.ExternalLink(secret, f"/{name}")
            elif kind == "soft":
                file["to"] = h5py.ExternalLink(secret, "/")
                file[name] = h5py.SoftLink(f"/to/{name}")
            elif kind == "circle":
                file[name] = h5py.SoftLink(f"/{name}")
            elif kind == "storage":
                size = int(np.prod(shape)) * 4
                file.create_dataset(name, shape, "f4", external=[(raw, 0, size)])
            elif kind == "virtual":
                layout = h5py.VirtualLayout(shape=shape, dtype="f4")
                layout[:] = h5py.VirtualSource(secret, name, shape=shape)
                file.create_virtual_dataset(name, layout)
            elif kind == "huge":
                file.create_dataset(name, (10**15, *shape[1:]), "f4", chunks=(1, *shape[1:]))
            elif kind == "group":
                file.create_group(name)

    kinds = {"external": "an external link", "soft": "an external link", "circle": "in a circle"}
    kinds |= {"storage": "external storage", "virtual": "a virtual data set"}
    kinds |= {"huge": "", "group": "has no"}
    for opener in ("hdf5", "galaxy10", "detected"):
        for name in ("images", "ids"):
            for kind, text in kinds.items():
                lost = opener == "galaxy10" and name == "ids" and kind != "huge"
                sentence = ANY if opener != "hdf5" or lost else text
                yield (
                    f"{opener}-{name}-{kind}",
                    opener,
                    "a.h5",
                    sentence,
                    lambda f, n=name, k=kind: write(f, n, k),
                )


class Evil:
    """What a pickle runs."""

    def __reduce__(self) -> tuple:
        return (exec, ("import os; os.system('touch ran')",))


def archives(outside: Path) -> Iterator[tuple]:
    """NPZ and NPY files with pickles, names of other folders, and sizes that are not there."""

    def npz(folder: Path, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(name, data)

    def npy(shape: Any, kind: str = "<f4", data: bytes = b"", version: int = 1) -> bytes:
        text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
        text = text.ljust(117) + b"\n"
        return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2, "little") + text + data

    evil = pickle.dumps(Evil())
    good = io.BytesIO()
    np.save(good, np.zeros((4, 8, 8, 2), "f4"))
    made = {
        "huge": ({"images.npy": npy((10**13, 8, 8, 2))}, "GiB in one piece"),
        "short": ({"images.npy": npy((4, 8, 8, 2))}, "fewer bytes"),
        "pickle": ({"images.npy": npy((4,), "|O", evil)}, ""),
        "version": ({"images.npy": npy((4,), version=3)}, ""),
        "negative": ({"images.npy": npy((-4, 8))}, "cannot be read"),
        "code": ({"images.npy": npy("__import__('os').system('touch ran')")}, "cannot be read"),
        "slip": ({"../../outside/x.npy": good.getvalue()}, "has no"),
        "absolute": ({str(outside / "y.npy"): good.getvalue()}, "which of"),
        "twice": ({"images.npy": good.getvalue(), "images": good.getvalue()}, ""),
        "raw": ({"images.npy": b"x"}, "cannot be read"),
        "bomb": ({"images.npy": npy((2**28,), "|u1", bytes(2**24))}, "fewer bytes"),
    }
    for kind, (members, sentence) in made.items():
        yield f"npz-{kind}", "npz", "a.npz", sentence, lambda f, m=members: npz(f, m)
    yield "npz-pickle-file", "npz", "a.npz", "NPZ", lambda f: (f / "a.npz").write_bytes(evil)
    for kind in ("pickle", "code", "huge"):
        data = next(iter(made[kind][0].values()))

        def folder_of(folder: Path, data: bytes = data) -> None:
            (folder / "c").mkdir()
            (folder / "c" / "a.npy").write_bytes(data)

        yield f"npy-{kind}", "folder", ".", "", folder_of
    for suffix in (".pth", ".pt", ".ckpt", ".bin", ".tar", ".safetensors", ".pkl"):
        yield (
            f"weights{suffix}",
            "weights",
            f"a{suffix}",
            "",
            lambda f, s=suffix: (f / f"a{s}").write_bytes(evil),
        )
    for kind, header in {
        "huge": {"a": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}},
        "f8": {"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}},
        "overlap": {n: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for n in "ab"},
        "negative": {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        "names": {"../x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        "list": [1, 2],
    }.items():
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + bytes(4)
        sentence = None if kind in ("f8", "names") else ""
        yield (
            f"safetensors-{kind}",
            "weights",
            "a.safetensors",
            "" if sentence is None else sentence,
            lambda f, d=data: (f / "a.safetensors").write_bytes(d),
        )
    yield (
        "safetensors-header",
        "weights",
        "a.safetensors",
        "",
        lambda f: (f / "a.safetensors").write_bytes((2**63).to_bytes(8, "little") + b"{}"),
    )


def classes(outside: Path) -> Iterator[tuple]:
    """TFDS folders that name Python classes, and files in other folders."""
    tensor = "tensorflow_datasets.core.features.tensor_feature.Tensor"
    names = ("evil.Tensor", "os.system", "subprocess.Popen", "sets.evil.X", "antigravity.x")
    names += ("tensorflow_datasets.evil.X", tensor + ".x", "tensorflow_datasets.core.lazy.X")
    for key in ("pythonClassName", "python_class_name", "type"):
        for name in names:

            def write(folder: Path, key: str = key, name: str = name) -> None:
                path = valid.tfds(folder)
                shutil.copy(outside / "evil.py", path / "evil.py")
                shutil.copy(outside / "evil.py", folder / "evil.py")
                text = (path / "features.json").read_text()
                text = text.replace(tensor, name).replace("pythonClassName", key)
                (path / "features.json").write_text(text)

            yield f"tfds-{key}-{name}", "tfds", "sets/own", "not imported", write
    away = f"../../../{outside.name}/x"
    changed = {
        "template": ("{DATASET}-", f"{away}-"),
        "name": ('"own"', f'"{away}"'),
        "split": ('"train"', f'"{away}"'),
        "format": ('"array_record"', '"tfrecord"'),
        "module": ("astrojax.data.readers.tfds", "evil"),
        "length": ('"6"', '"999999999999"'),
    }
    for kind, (old, new) in changed.items():

        def change(folder: Path, old: str = old, new: str = new) -> None:
            path = valid.tfds(folder) / "dataset_info.json"
            path.write_text(path.read_text().replace(old, new))

        yield f"tfds-{kind}", "tfds", "sets/own", "" if kind != "module" else OPENS, change
    for kind, (old, new) in {
        "deep": ('"shape"', '"x": ' + "[" * 9000 + "]" * 9000 + ', "shape"'),
        "shape": ('"8"', '"99999999999"'),
        "dtype": ("float32", "object"),
    }.items():

        def feature(folder: Path, old: str = old, new: str = new) -> None:
            path = valid.tfds(folder) / "features.json"
            path.write_text(path.read_text().replace(old, new))

        yield f"tfds-{kind}", "tfds", "sets/own", "", feature


def metadata(outside: Path) -> Iterator[tuple]:
    """Tables whose metadata name other files, keys and readers."""
    own = valid.SECTION
    joined = {"name": "catalogue", "table": "c.csv", "cutouts": own, "columns": {"id": "id"}}
    joined |= {"unmatched": "drop"}
    secret = str(outside / "secret.h5")
    where = "opens nothing outside"
    key, reader = "which is not taken from a table", "is not taken from a table"
    told: dict[str, tuple[Any, str | None]] = {
        "fine": (own, OPENS),
        "absolute": (own | {"path": secret}, where),
        "relative": (own | {"path": "../outside/secret.h5"}, where),
        "wild": (own | {"path": "x*/../../outside/secret.h5"}, where),
        "dict": (own | {"path": {"train": secret}}, where),
        "number": (own | {"path": 7}, ""),
        "link": (own | {"path": "link.h5"}, where),
        "proc": (own | {"path": "/proc/self/environ"}, where),
        "home": (own | {"path": "~/.ssh/id_rsa"}, ""),
        "follow": (own | {"follow_links": True}, key),
        "fetch": (own | {"fetch": "curl x"}, key),
        "exclude": (own | {"exclude": {"data": own | {"path": secret}}}, key),
        "labels": (own | {"labels": {}}, key),
        "oversample": (own | {"oversample": {}}, key),
        "cutouts": (own | {"cutouts": own | {"path": secret}}, key),
        "writes": (joined | {"unmatched_file": str(outside / "written")}, key),
        "writes-home": (joined | {"unmatched_file": "~/.bashrc"}, key),
        "table": (joined | {"table": str(outside / "secret.csv"), "match": "sky"}, where),
        "nested": (joined | {"cutouts": joined}, reader),
        "nested-path": (joined | {"cutouts": own | {"path": secret}}, ""),
        "reader": ({"name": "os"}, reader),
        "reader-path": ({"name": "../../evil"}, reader),
        "reader-list": ({"name": ["hdf5"]}, ""),
        "lens": ({"name": "lens", "psfs": secret}, reader),
        "survey": ({"name": "survey", "count": 10**12}, reader),
        "band": (
            {"name": "fits", "path": "{band}/{id}.fits"}
            | {"info": valid.INFO | {"bands": ["../outside"]}},
            "no name of a band",
        ),
        "tfds": ({"name": "tfds", "directory": str(outside), "dataset": "x", "splits": {}}, where),
        "tfds-up": ({"name": "tfds", "directory": ".", "dataset": "../outside"}, "no name"),
        "resize": (own | {"name": "npz", "resize": 10**9}, "px at most"),
        "columns": (own | {"columns": {"image": "../x"}}, ""),
        "columns-list": (own | {"columns": [1]}, ""),
        "composite": (own | {"composite": {"channels": 7}}, ""),
        "convert": (own | {"convert": "__import__('os')"}, ""),
        "info": (own | {"info": 7}, ""),
        "deep": ("[" * 100_000, "cannot be read"),
        "json": ("{", "cannot be read"),
        "null": (None, ""),
    }
    for suffix in (".parquet", ".fits"):
        for kind, (section, sentence) in told.items():
            text = section if isinstance(section, str) else json.dumps(section)
            if suffix == ".fits" and len(text) > 5000:
                continue

            def write(folder: Path, text: str = text, suffix: str = suffix) -> None:
                valid.hdf5(folder / "a.h5")
                (folder / "link.h5").symlink_to(outside / "secret.h5")
                valid.table(folder / f"t{suffix}", section=text)

            for opener in TABLES:
                yield f"{opener}{suffix}-{kind}", opener, f"t{suffix}", sentence, write


def pictures(outside: Path) -> Iterator[tuple]:
    """Pictures that are of other formats than their names say, or bombs."""
    ghost = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(" + b"x) (w) file closefile\n"
    kinds = {"eps": ghost, "empty": b"", "html": b"<html>", "pdf": b"%PDF-1.4"}
    for name in ("GIF", "TIFF", "PPM", "BMP", "ICO", "TGA", "SGI", "PCX"):
        data = io.BytesIO()
        Image.new("RGB", (8, 8)).save(data, name)
        kinds[name.lower()] = data.getvalue()
    data = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(data, "PNG")
    kinds["bomb"] = data.getvalue()
    for kind, data in kinds.items():

        def folder(where: Path, data: bytes = data) -> None:
            (where / "c").mkdir()
            (where / "c" / "a.png").write_bytes(data)

        def blob(where: Path, data: bytes = data) -> None:
            offsets = np.array([0, len(data)])
            np.savez(where / "a.npz", blob=np.frombuffer(data, np.uint8), offsets=offsets)

        def parquet(where: Path, data: bytes = data) -> None:
            rows = pa.table({"image": [{"bytes": data, "path": str(outside / "secret.csv")}]})
            pq.write_table(rows, where / "a.parquet")

        yield f"folder-{kind}", "folder", ".", "", folder
        yield f"blob-{kind}", "blob", "a.npz", "", blob
        yield f"parquet-{kind}", "encoded", "a.parquet", "", parquet
    yield (
        "parquet-path",
        "encoded",
        "a.parquet",
        "",
        lambda f: pq.write_table(
            pa.table({"image": [{"bytes": None, "path": str(outside / "secret.csv")}]}),
            f / "a.parquet",
        ),
    )


def names(outside: Path) -> Iterator[tuple]:
    """Ids and columns that are markup, formulas, typesetting or control characters."""
    odd = [r"$\frac$", "$", "<!--<script>", "</script><script>x</script>", "__DATA__", "{{ 1 }}"]
    odd += ["<img src=x onerror=y>", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1"]
    odd += ["\r=1", "\x1b[2J", "\x00", "\u202e", "\u2028", "[/red]", "../../x", "%s%n", "é", ""]
    odd += ["x" * 200_000]
    for i, text in enumerate(odd):
        for opener in TABLES:

            def write(folder: Path, text: str = text) -> None:
                valid.hdf5(folder / "a.h5", ids=[text.replace("\0", ""), "b", "c", "d"])
                valid.table(folder / "t.parquet", ids=[text, "b", "c", "d"])

            # HDF5 ends text at a zero, so that the two names differ; an empty one is none.
            sentence = ANY if text in ("\x00", "") else OPENS
            yield f"{opener}-name-{i}", opener, "t.parquet", sentence, write


def catalogues(outside: Path) -> Iterator[tuple]:
    """Catalogues with code in their headers."""
    header = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: id, datatype: int64}\n"
    body = "id\n1\n"
    bad = {
        "apply": "# meta: !!python/object/apply:os.system ['touch ran']\n",
        "new": "# meta: !!python/object/new:subprocess.Popen [['touch', 'ran']]\n",
        "class": "# meta: {__serialized_columns__: {id: {__class__: os.system, value: 1}}}\n",
        "evil": "# meta: {__serialized_columns__: {id: {__class__: evil.X}}}\n",
        "bomb": "# meta:\n"
        + "".join(f"#   a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
        "type": "# delimiter: [1]\n",
    }
    for kind, line in bad.items():
        yield (
            f"ecsv-{kind}",
            "catalogue",
            "c.ecsv",
            "",
            lambda f, line=line: (f / "c.ecsv").write_text(header + line + body),
        )
    texts = {"binary": "\x00\x01\x02", "empty": "", "ragged": "a,b\n1,2,3\n4\n", "html": "<html>"}
    texts |= {"long": "a," * 50_000 + "\n", "names": "a,a\n1,2\n", "url": "http://localhost/x\n"}
    for kind, text in texts.items():
        for suffix in (".csv", ".txt", ".fits", ".parquet", ".ecsv"):
            yield (
                f"text-{kind}{suffix}",
                "catalogue",
                f"c{suffix}",
                "",
                lambda f, t=text, s=suffix: (f / f"c{s}").write_text(t),
            )

    def cards(folder: Path, change: dict[str, Any]) -> None:
        hdu = fits.PrimaryHDU(np.zeros((2, 8, 8), "f4"))
        hdu.writeto(folder / "a.fits")
        data = bytearray((folder / "a.fits").read_bytes())
        for key, value in change.items():
            at = data.index(key.encode().ljust(8))
            data[at : at + 80] = f"{key:<8}= {value:>20}".ljust(80).encode()
        (folder / "a.fits").write_bytes(bytes(data))

    for kind, change in {
        "huge": {"NAXIS1": 10**12},
        "negative": {"NAXIS1": -8},
        "text": {"NAXIS1": "'x'"},
        "bitpix": {"BITPIX": 7},
        "axes": {"NAXIS": 999},
    }.items():
        yield f"fits-{kind}", "fits", ".", "", lambda f, c=change: cards(f, c)


def bundles(outside: Path) -> Iterator[tuple]:
    """Bundles whose card or config says what it may not; their hashes are right."""
    raw = str(outside / "secret.raw")
    simulator = {"simulator": {"psfs": raw, "stamps": raw}}
    configs: dict[str, tuple[dict, str]] = {
        "method": ({"name": "../../outside/evil"}, "methods are"),
        "module": ({"name": "os"}, "methods are"),
        "list": ({"name": ["supervised"]}, ""),
        "backbone": ({"backbone": {"name": "evil"}}, "backbones are"),
        "path": ({"path": raw}, "not read by anything"),
        "simulator": (simulator, "names the file"),
        "number": ({"outputs": 10**4}, ""),
        "null": ({"view": None}, ""),
    }
    for kind, (change, sentence) in configs.items():
        yield (
            f"config-{kind}",
            "bundle",
            "bundle",
            sentence,
            lambda f, c=change: valid.bundle(f / "bundle", config=c),
        )
    entries: dict[str, Any] = {"data": [], "outside": {}, "pixel_spread": None, "crop": "x"}
    entries |= {"sha256": {}, "astrojax": None, "dereddened": "yes", "stretch": 7, "trained_on": 1}
    for key, value in entries.items():
        yield (
            f"card-{key}",
            "bundle",
            "bundle",
            "",
            lambda f, c={key: value}: valid.bundle(f / "bundle", card=c),
        )
    for key, value in {"bands": "gr", "image_size": -1, "unit": 7, "noise": [1], "x": 1}.items():
        yield (
            f"card-data-{key}",
            "bundle",
            "bundle",
            "",
            lambda f, c={key: value}: valid.bundle(f / "bundle", info=c),
        )


def beside(outside: Path) -> Iterator[tuple]:
    """Hidden files beside a table, under the names of those that writers leave when killed."""
    away = f"../{outside.name}"
    notes: dict[str, Any] = {
        "remove": {"rename": [], "remove": [f"{away}/secret.csv"]},
        "remove-all": {"rename": [], "remove": [away]},
        "move-in": {"rename": [[f"{away}/secret.csv", "o.csv"]], "remove": []},
        "move-out": {"rename": [[".o.7.partial.csv", f"{away}/secret.csv"]], "remove": []},
        "list": [1],
    }
    for opener, out in (("similar", "o.csv"), ("explore", "o.html"), ("cluster", "o.parquet")):
        for kind, note in notes.items():

            def write(folder: Path, note: Any = note, out: str = out) -> None:
                valid.hdf5(folder / "a.h5")
                valid.table(folder / "t.parquet")
                (folder / f".{out}.complete").write_text(json.dumps(note))
                name = Path(f".o.7.partial{Path(out).suffix}")
                (folder / name).symlink_to(outside / "secret.csv")
                (folder / f".{out}.parts").symlink_to(outside)

            yield f"{opener}-{kind}", opener, "t.parquet", ANY, write


def hub(outside: Path) -> Iterator[tuple]:
    """Models on a hub whose files have names of elsewhere, or are code."""
    evil = pickle.dumps(Evil())
    extra = {
        "slip": {f"../../{outside.name}/x": b"x", str(outside / "y"): b"y"},
        "code": {"evil.py": (outside / "evil.py").read_bytes(), "modeling.py": b"import evil"},
        "pickle": {"pytorch_model.bin": evil, "model.pkl": evil},
    }
    for kind, files in extra.items():

        def write(folder: Path, files: dict[str, bytes] = files) -> None:
            valid.bundle(folder / "bundle")
            (folder / "more.json").write_text(json.dumps({k: v.hex() for k, v in files.items()}))

        yield kind, "hub", "bundle", OPENS, write
    for name in ("model.safetensors", "card.json", "config.json"):

        def replace(folder: Path, name: str = name) -> None:
            valid.bundle(folder / "bundle")
            (folder / "bundle" / name).write_bytes(evil)

        yield name, "hub", "bundle", "", replace


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root", type=Path, help="an empty folder")
    parser.add_argument("--seeds", type=int, default=4, help="variants of each random damage")
    options = parser.parse_args()
    for case in make(options.root, options.seeds):
        print(json.dumps(dataclasses.asdict(case)))
