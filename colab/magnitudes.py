# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # Magnitudes as a pretext
#
# Every survey measures magnitudes of everything. A network that predicts twelve of them from a
# color picture learns features that are worth having for tasks with few labels.

# %% [markdown]
# ## Pretrain
#
# Simulated stars, galaxies, quasars and mergers in the twelve bands of S-PLUS, shown as 32 × 32
# color pictures.

# %%
import magnitudes
import matplotlib.pyplot as plt
import numpy as np

from astrojax.config import plain
from astrojax.data.open import open_sources
from astrojax.training import loop

config = plain(magnitudes.get_config(VARIANT))
sources = open_sources(config["data"])
figure, cells = plt.subplots(2, 8, figsize=(10, 2.8))
for i, cell in enumerate(cells.flat):
    cell.imshow(sources["train"][i]["image"])
    cell.set_title(sources["train"].info.classes[sources["train"].column("label")[i]], fontsize=8)
    cell.axis("off")

# %%
loop.train(config, RUNS / "magnitudes", sources)

# %% [markdown]
# How well it tells magnitudes it has not seen, band by band.

# %%
from astrojax.inference import evaluation
from astrojax.inference.table import Table

evaluation.run(RUNS / "magnitudes", sources)
table = Table.load(RUNS / "magnitudes" / "evaluation" / "test.parquet")
error = np.abs(table.predictions["magnitude"] - table.columns["magnitude"])
plt.figure(figsize=(6, 2.6))
plt.bar(sources["test"].info.catalogue_bands, np.nanmean(error, axis=0))
plt.ylabel("mean absolute error (mag)")
plt.xticks(rotation=40)

# %% [markdown]
# ## Use the features where labels are few
#
# A linear probe on the frozen features, with the labels of a growing share of the training set:
# what is a star, a galaxy, a quasar, a merger?

# %%
from astrojax.evaluate import linear_probe

tables = {s: Table.load(RUNS / "magnitudes" / "evaluation" / f"{s}.parquet") for s in sources}
section = linear_probe.evaluate(
    tables,
    sources,
    RUNS,
    targets=(),
    penalties=(1e-2, 1.0),
    fractions=(0.1, 0.3),
    repeats=1,
    max_iterations=100,
    n_bootstrap=20,
    seed=0,
)
print({name: round(value, 3) for name, value in section.metrics.items() if "accuracy" in name})

# %% [markdown]
# ## From here
#
# - The five schemes of the paper, frozen or fine-tuned, from magnitudes or ImageNet:
#   `experiments/transfer.py`.
# - The paper's network: `experiments/magnitudes.py:vgg16`; your own catalogue and pictures:
#   `:paper`.
# - Accuracy against the number of labels: `experiments/studies/low_data.py`.
