# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # PITA: photometric redshifts from images with few labels
#
# One encoder, three tasks: views of a galaxy agree, colors can be predicted, and so can the
# redshift, where one is known. Here on a simulated survey in the four bands of HST/CANDELS, of
# which a fifth has a redshift.

# %% [markdown]
# ## The survey
#
# An experiment is a Python file that sets every hyper-parameter. Its `data` section simulates the
# survey on the spot; `docs/data.md` has the readers for your own files.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pita

from astrojax.config import plain
from astrojax.data.open import open_sources
from astrojax.evaluate import plots

config = plain(pita.get_config(VARIANT))
sources = open_sources(config["data"])
train_set = sources["train"]
print({split: len(source) for split, source in sources.items()}, train_set.info.bands)

# %%
images = np.stack([train_set[i]["image"] for i in range(24)])
pictures = plots.rgb(images, train_set.info.bands, train_set.info.unit)
figure, cells = plt.subplots(3, 8, figsize=(10, 4))
for cell, picture, z in zip(cells.flat, pictures, train_set.column("redshift"), strict=False):
    cell.imshow(picture)
    cell.set_title("no redshift" if np.isnan(z) else f"z = {z:.2f}", fontsize=8)
    cell.axis("off")

# %% [markdown]
# The labels are those of a spectroscopic survey: bright galaxies have them, faint ones do not.

# %%
magnitude = train_set.column("magnitude")[:, -1]
labelled = np.isfinite(train_set.column("redshift"))
edges = np.linspace(18, 26, 25)
plt.figure(figsize=(6, 3))
plt.hist(magnitude, edges, alpha=0.5, label="all")
plt.hist(magnitude[labelled], edges, alpha=0.8, label="with a redshift")
plt.xlabel("F160W (AB mag)")
plt.ylabel("galaxies")
plt.legend()

# %% [markdown]
# ## Train
#
# The same as `python -m astrojax.main --config experiments/pita.py`. Interrupt it whenever you
# like: the same call goes on where it was.

# %%
from astrojax.training import loop

loop.train(config, RUNS / "pita", sources)

# %% [markdown]
# ## Evaluate
#
# Numbers are those of galaxies that the training has not seen, with bootstrap errors.
# `template_fit` is the limit of photometry: a fit of the four magnitudes by someone who knows the
# simulator's spectra.

# %%
from IPython.display import Image

from astrojax.inference import evaluation

evaluation.run(RUNS / "pita", sources)
Image(RUNS / "pita" / "evaluation" / "photoz.png")

# %% [markdown]
# `report.html` in that folder has everything in one page, and `explorer.html` the embedding to
# look at: thumbnails under the pointer, colors by any column, a lasso.

# %%
Image(RUNS / "pita" / "evaluation" / "projection.png")

# %% [markdown]
# ## Use the model on other images
#
# A bundle is a folder of safetensors with a card that says which images the model takes.

# %%
import astrojax

bundle = RUNS / "pita-model"
if not bundle.exists():
    astrojax.export(RUNS / "pita", bundle)
model = astrojax.load(bundle)

others = open_sources({**config["data"], "count": 64, "validation": 0, "test": 0, "seed": 1})
new = np.stack([others["train"][i]["image"] for i in range(64)])
redshift = model.predict(new)["redshift"]
print(np.round(redshift[:8], 2), "truth:", np.round(others["train"].column("redshift_true")[:8], 2))

# %% [markdown]
# ## From here
#
# - The published recipe on the CANDELS file: `python -m astrojax.main --config
#   experiments/pita.py:paper --config.data.path=candels.h5`.
# - The baselines: `experiments/photoz_supervised.py`, `photoz_mlp.py`, `moco.py`.
# - The paper's claim, quality against the number of labels: `experiments/studies/pita_labels.py`.
