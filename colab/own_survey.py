# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # Your own survey in three commands and ten lines of Python
#
# From a folder of FITS cutouts and a catalogue to a pretrained network, a classifier and a table of
# classes; first as commands, then the same in Python. `docs/own_survey.md` says more about each
# step, other targets than classes, and what mistakes look like.

# %% [markdown]
# ## A folder of cutouts and a catalogue
#
# Replace this cell by your files. Here they are simulated: a FITS file for each galaxy, with an
# extension for each band, whose headers have the unit (`BUNIT`) and a WCS; and a catalogue with
# positions, magnitudes, sizes, classes and redshifts of some, and the votes of volunteers.

# %%
import os

import numpy as np
from astropy.io import fits
from astropy.table import Table

from astrojax.data.readers import survey

if Path.cwd().name != "own_survey":
    (RUNS / "own_survey").mkdir(parents=True, exist_ok=True)
    os.chdir(RUNS / "own_survey")
COUNT, SIDE = (80, 32) if SMALL else (2000, 64)


def write_cutout(name, example, info):
    """Writes one galaxy as an observatory would give it."""
    scale, middle = info.pixel_scale / 3600, (SIDE + 1) / 2
    cards = {"BUNIT": "uJy", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    cards |= {"CRVAL1": float(example["ra"]), "CRVAL2": float(example["dec"])}
    cards |= {"CRPIX1": middle, "CRPIX2": middle, "CDELT1": -scale, "CDELT2": scale}
    planes = np.moveaxis(example["image"], -1, 0)
    bands = zip(info.bands, planes, strict=True)
    images = [fits.ImageHDU(plane, fits.Header(cards), name=band) for band, plane in bands]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(f"cutouts/{name}.fits", overwrite=True)


def write_catalogue(names, made):
    """Writes the catalogue; a third of the galaxies have no class, and most no redshift."""
    rng = np.random.default_rng(0)
    kind = np.array(made.info.classes)[made.column("label")]
    smooth, disc = kind == "elliptical", np.isin(kind, ("disc", "spiral", "edge-on"))
    shares = 0.1 + 0.7 * np.stack([smooth, disc, ~smooth & ~disc], axis=-1)
    votes = rng.multinomial(40, shares)
    columns = {"ID": names, "RA": made.column("ra"), "DEC": made.column("dec")}
    columns["CLASS"] = np.where(np.arange(COUNT) % 3 == 0, "", kind)
    columns["SPIRAL"], columns["MERGER"] = ((kind == k).astype(int) for k in ("spiral", "merger"))
    for i, answer in enumerate(("SMOOTH", "DISC", "OTHER")):
        columns[f"SHAPE_{answer}"] = votes[:, i]
    columns["SIZE"] = made.column("size")  # arcsec
    columns["MAG_R"] = made.column("magnitude")[:, 1]
    columns["ZSPEC"] = np.nan_to_num(made.column("redshift"), nan=-1.0)
    columns["FOLD"] = np.arange(COUNT) % 5
    columns["SAMPLE"] = np.array(["train", "train", "train", "validation", "test"])[columns["FOLD"]]
    Table(columns).write("catalogue.fits", overwrite=True)


if not Path("catalogue.fits").is_file():
    Path("cutouts").mkdir(exist_ok=True)
    made = survey.load(
        survey="nearby",
        count=COUNT,
        validation=0,
        test=0,
        labelled_fraction=0.3,
        held_out="all",
        stamp=SIDE,
        seed=11,
    )["train"]
    names = [f"G{i:05d}" for i in range(COUNT)]
    for i, name in enumerate(names):
        write_cutout(name, made[i], made.info)
    write_catalogue(names, made)

print(len(list(Path("cutouts").iterdir())), "cutouts")
Table.read("catalogue.fits")[:3]

# %% [markdown]
# ## Look first
#
# `run` is what a terminal does with a command. `SMALL` makes networks and runs tiny.

# %%
import shlex

from IPython.display import Image

from astrojax import cli

TINY, TINY_START = {}, {}
if SMALL:
    TINY = {"epochs": 0.5, "batch_size": 16, "monitor": None}
    TINY_START = TINY | {"method.backbone.width": 8, "method.projector": (16, 16)}
    TINY_START |= {"method.sigreg_directions": 16, "evaluate": {}}


def run(command, **changes):
    """Runs `astrojax COMMAND ...`, with changed keys of the config."""
    for key, value in changes.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else value
        command += f" --config.{key}={text}"
    cli.main(shlex.split(command)[1:])


run("astrojax preview --data cutouts/ --set bands=g,r,i --set catalogue=catalogue.fits --overwrite")
Image("preview.png")

# %% [markdown]
# ## Three commands
#
# Bands are said, because these files do not name them; unit and pixel scale are in their headers.
# What was said for the pretraining holds for the same files in the second command, and
# `--as-trained` says that the cutouts of the third are like them.

# %%
run(
    "astrojax train lejepa --data cutouts/ --set bands=g,r,i --workdir runs/pretrained",
    **TINY_START,
)

# %%
run(
    "astrojax finetune runs/pretrained --data cutouts/ --set catalogue=catalogue.fits "
    "--target CLASS --workdir runs/classes",
    **TINY,
)

# %%
run(
    "astrojax predict --workdir runs/classes --data cutouts/ --as-trained --with-embedding "
    "--out classes.fits --overwrite"
)
Table.read("classes.fits")["id", "predicted_class", "flag_out_of_distribution", "split"][:3]

# %% [markdown]
# ## Ten lines of Python
#
# The same files, recipe and folders, so nothing is trained again. `split` says whether an object
# was for training, validation or test of the model: only the last two are to be trusted as
# examples of what it does with new ones.

# %%
import astrojax

data = astrojax.open_data("cutouts/", bands=("g", "r", "i"))
labelled = astrojax.open_data("cutouts/", bands=("g", "r", "i"), catalogue="catalogue.fits")
astrojax.train("lejepa", data=data, workdir="runs/pretrained", **TINY_START)
model = astrojax.finetune(
    "runs/pretrained", labelled, target="CLASS", workdir="runs/classes", **TINY
)
table = model.predict(labelled["test"])
print(table["id", "predicted_class", "split"][:5])
table.write("test.ecsv", overwrite=True)

# %% [markdown]
# ## What it is worth
#
# Numbers with errors on the test split, beside `report.html` in the same folder.

# %%
run_metrics = Path("runs/classes/evaluation/metrics.json")
print(run_metrics.read_text()[:400])
Image(run_metrics.with_name("confusion.png"))

# %% [markdown]
# ## Groups without labels, and what to label next
#
# `astrojax label --table classes.fits --out labels.csv --classes spiral,elliptical,merger` opens a
# page in a browser that asks for the labels that help most; it waits for you, so it does not run
# here.

# %%
run(
    "astrojax cluster --table classes.fits --out clusters.parquet --num-clusters 4 --no-sheet "
    "--overwrite"
)
