# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # AstroJEPA: embeddings of galaxies without labels
#
# LeJEPA asks that views of a galaxy have the same embedding, and that the embeddings of all
# galaxies together be a Gaussian cloud, which forbids the trivial solution. No teacher, no labels,
# one hyper-parameter.

# %% [markdown]
# ## Galaxies and their views
#
# A global view shows the whole galaxy, a local one its middle. Both are turned, mirrored, shifted,
# blurred and noisier; nothing changes the color, since that is what galaxies differ in.

# %%
import lejepa
import matplotlib.pyplot as plt
import numpy as np

from astrojax.augment import views
from astrojax.config import plain
from astrojax.data.open import open_sources
from astrojax.evaluate import plots

config = plain(lejepa.get_config(VARIANT))
sources = open_sources(config["data"])
info = sources["train"].info
images = np.stack([sources["train"][i]["image"] for i in range(6)])

make = [
    views.make(config["method"][f"{kind}_view"], info=info, path=kind)
    for kind in ("global", "local")
]
shown = [np.asarray(view(jax.random.key(i), images)) for i, view in enumerate([make[0], *make])]
figure, cells = plt.subplots(4, 6, figsize=(8, 5.6))
for row, (name, batch) in enumerate(
    zip(["stamp", "global", "global", "local"], [images, *shown], strict=True)
):
    pictures = plots.rgb(batch, info.bands, info.unit)
    for cell, picture in zip(cells[row], pictures, strict=True):
        cell.imshow(picture)
        cell.set(xticks=[], yticks=[])
    cells[row, 0].set_ylabel(name)

# %% [markdown]
# ## Train
#
# `sigreg` is the distance from a Gaussian, about 1 for a Gaussian cloud and growing with the batch
# size for a collapsed one; `invariance` is the scatter of views about the mean. A run that
# collapses stops itself.

# %%
from astrojax.training import loop, metric_log

loop.train(config, RUNS / "lejepa", sources)
for record in metric_log.read(RUNS / "lejepa")[-2:]:
    print({k: round(v, 3) for k, v in record.items() if isinstance(v, float)})

# %% [markdown]
# ## What the embedding knows
#
# Labels come in only now: a linear probe, a vote of nearest neighbours, and the rank of what is
# unusual.

# %%
from IPython.display import Image

from astrojax.inference import evaluation

evaluation.run(RUNS / "lejepa", sources)
Image(RUNS / "lejepa" / "evaluation" / "projection.png")

# %% [markdown]
# Neighbours in the embedding: in each row a galaxy and the four most like it.

# %%
from astrojax.inference.table import Table

table = Table.load(RUNS / "lejepa" / "evaluation" / "test.parquet")
unit = table.embedding / np.linalg.norm(table.embedding, axis=1, keepdims=True)
queries = np.arange(4)
near = np.argsort(-unit[queries] @ unit.T, axis=1)[:, :5]
images = np.stack([sources["test"][int(i)]["image"] for i in near.ravel()])
figure, cells = plt.subplots(4, 5, figsize=(6.5, 5.2))
for cell, picture in zip(cells.flat, plots.rgb(images, info.bands, info.unit), strict=True):
    cell.imshow(picture)
    cell.axis("off")

# %% [markdown]
# ## From here
#
# - I-JEPA, which predicts hidden patches, with the same penalty: `experiments/ijepa.py`.
# - Your own pictures without labels: `experiments/lejepa.py:pool`; Galaxy10:
#   `experiments/lejepa.py:paper`.
# - Whether the penalty keeps I-JEPA from collapse: `experiments/studies/sigreg.py`.
