# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # Your own cutouts in ten minutes
#
# From a folder of FITS cutouts and a catalogue to a model, a table of redshifts and embeddings,
# similar objects, unusual objects, and a page to look at all of it. Every step is also a command,
# shown above its cell.

# %% [markdown]
# ## A folder of cutouts and a catalogue
#
# Replace this cell by your files. Here they are simulated: one FITS file per galaxy with an
# extension per band, whose headers have the unit (`BUNIT`) and a WCS, and a catalogue with
# positions, fluxes, dust, and a redshift for some.

# %%
import numpy as np
from astropy.io import fits
from astropy.table import Table

from astrojax.data.readers import survey

FOLDER = RUNS / "own"
CUTOUTS, CATALOGUE = FOLDER / "cutouts", FOLDER / "catalogue.fits"
COUNT = 150 if SMALL else 3000

if not CATALOGUE.is_file():
    CUTOUTS.mkdir(parents=True, exist_ok=True)
    made = survey.load(
        survey="candels",
        count=COUNT,
        validation=0,
        test=0,
        labelled_fraction=0.3,
        held_out="all",
        max_magnitude_error=None,
        stamp=48,
        seed=7,
    )["train"]
    bands, scale = made.info.bands, made.info.pixel_scale / 3600
    names = [f"galaxy{i:05d}" for i in range(COUNT)]
    for i, name in enumerate(names):
        planes = [fits.PrimaryHDU()]
        for b, band in enumerate(bands):
            cards = {"BUNIT": "uJy", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
            cards |= {"CRVAL1": made.column("ra")[i], "CRVAL2": made.column("dec")[i]}
            cards |= {"CRPIX1": 24.5, "CRPIX2": 24.5, "CDELT1": -scale, "CDELT2": scale}
            planes.append(fits.ImageHDU(made[i]["image"][..., b], fits.Header(cards), name=band))
        fits.HDUList(planes).writeto(CUTOUTS / f"{name}.fits", overwrite=True)
    columns = {"NAME": names, "ZSPEC": np.nan_to_num(made.column("redshift"), nan=-1.0)}
    columns |= {"EBV": made.column("ebv")}
    columns |= {f"FLUX_{band}": made.column("flux")[:, b] for b, band in enumerate(bands)}
    Table(columns).write(CATALOGUE, overwrite=True)

print(len(list(CUTOUTS.glob("*.fits"))), "cutouts")
Table.read(CATALOGUE)[:3]

# %% [markdown]
# ## Tell astrojax what they are
#
# Units, bands and zero points are stated, never guessed. What does not fit is an error in one
# sentence: try `"unit": "nanomaggies"`, or a band that is not there. `docs/data.md` has the other
# formats.

# %%
from astrojax.data.open import open_sources

BANDS = ("F606W", "F814W", "F125W", "F160W")
DATA = {
    "name": "catalogue",
    "table": str(CATALOGUE),
    "columns": {
        "id": "NAME",
        "redshift": "ZSPEC",  # -1 or NaN: none
        "ebv": "EBV",
        "flux": tuple(f"FLUX_{band}" for band in BANDS),
    },
    "match": "id",  # or "sky", by the positions of the cutouts' WCS
    "radius_arcsec": 1.0,
    "position_unit": None,
    "unmatched": "error",
    "unmatched_file": None,
    "select": {},
    "classes": None,
    "others": "error",
    "sentinels": {},
    "split": {
        "name": "id",
        "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "seed": 0,
    },
    "cutouts": {
        "name": "fits",
        "path": str(CUTOUTS / "{id}.fits"),
        "hdus": BANDS,  # names of the extensions
        "unreadable": "error",
        "zero_points": None,
        "info": {
            "bands": BANDS,
            "pixel_scale": None,  # from the WCS
            "unit": "header",  # from BUNIT
            "zero_point": None,
            "noise": "measure",
            "extinction": (2.471, 1.526, 0.726, 0.512),  # A_b / E(B-V)
        },
        "crop": None,
        "bad_pixels": "error",
        "split": None,
    },
    "deredden": True,
    "cache_in_memory": True,  # small enough for memory
    "oversample": {"column": "redshift", "times": 4},  # in an epoch, where one is known
}
sources = open_sources(DATA)
print({split: len(source) for split, source in sources.items()}, sources["train"].info)

# %% [markdown]
# ## Train
#
# An experiment with another `data` section. As a command: a copy of `experiments/pita.py` with
# this section, and `python -m astrojax.main --config my_pita.py`. Without redshifts or fluxes,
# take `experiments/lejepa.py`.

# %%
import pita

from astrojax.config import plain
from astrojax.inference import evaluation
from astrojax.training import loop

config = plain(pita.get_config(VARIANT))
config["data"] = DATA
config["epochs"] = 2.0 if SMALL else 40.0
config["evaluate"] = {task: config["evaluate"][task] for task in ("photoz", "explorer")}
MODEL = RUNS / "own_pita"
loop.train(config, MODEL, sources)

# %%
evaluation.run(MODEL, sources)

# %% [markdown]
# ## A table: redshifts, embeddings, flags
#
# `astrojax predict --workdir runs/own_pita --with-embedding --out galaxies.parquet ...`
#
# Any cutouts will do, also of another folder and without redshifts. Objects with NaN pixels, cut
# off by an edge or unlike the training images are kept and flagged. The suffix decides the format:
# `.fits` opens in TOPCAT.

# %%
from astrojax.cli import predict

TABLE = FOLDER / "galaxies.parquet"
bands = ",".join(BANDS)
predict.main(
    ["--workdir", str(MODEL), "--with-embedding", "--overwrite", "--out", str(TABLE)]
    + ["--data", str(CUTOUTS / "{id}.fits"), "--set", f"hdus={bands}", "--set", f"bands={bands}"]
    + ["--set", f"catalogue={CATALOGUE}", "--set", "columns.id=NAME", "--set", "columns.ebv=EBV"]
)
table = Table.read(TABLE)
table["id", "predicted_redshift", "flag_out_of_distribution"][:3]

# %% [markdown]
# ## More like this one
#
# `astrojax similar --table galaxies.parquet --id galaxy00010 -n 9`

# %%
from IPython.display import Image

from astrojax.cli import similar

sheet = FOLDER / "similar.csv"
similar.main(
    ["--table", str(TABLE), "--id", "galaxy00010", "-n", "9", "--out", str(sheet), "--overwrite"]
)
Image(sheet.with_suffix(".png"))

# %% [markdown]
# ## What is unusual
#
# `astrojax anomalies --table galaxies.parquet`

# %%
from astrojax.cli import anomalies

sheet = FOLDER / "anomalies.csv"
anomalies.main(["--table", str(TABLE), "-n", "10", "--out", str(sheet), "--overwrite"])
Image(sheet.with_suffix(".png"))

# %% [markdown]
# ## A page to look at everything
#
# `astrojax explore --table galaxies.parquet`
#
# One HTML file: point at an object to see it, color by any column, draw a lasso to get ids.
# Download it from the file browser on the left and open it.

# %%
from astrojax.cli import explore

page = FOLDER / "explorer.html"
explore.main(["--table", str(TABLE), "--method", "pca", "--out", str(page), "--overwrite"])
print(page, f"{page.stat().st_size / 1e6:.1f} MB")
