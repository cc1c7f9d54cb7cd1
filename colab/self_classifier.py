# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # Self-Classifier: classes of galaxies that nobody labelled
#
# Two views of a galaxy must fall in the same class, and every class must get its share of the
# batch. More classes than one expects leave room for rare kinds.

# %% [markdown]
# ## Train

# %%
import matplotlib.pyplot as plt
import numpy as np
import self_classifier

from astrojax.config import plain
from astrojax.data.open import open_sources
from astrojax.training import loop

config = plain(self_classifier.get_config(VARIANT))
sources = open_sources(config["data"])
loop.train(config, RUNS / "self_classifier", sources)

# %% [markdown]
# ## The classes it found
#
# Each row is a class of the network, most certain first. The simulator's own classes were not
# used; the agreement with them is measured below (AMI: 1 if equal, 0 if unrelated).

# %%
from astrojax.evaluate import plots
from astrojax.inference import evaluation
from astrojax.inference.table import Table

evaluation.run(RUNS / "self_classifier", sources)
table = Table.load(RUNS / "self_classifier" / "evaluation" / "test.parquet")
probability = table.predictions["class_probability"]
cluster = probability.argmax(axis=1)
common = np.argsort(-np.bincount(cluster, minlength=probability.shape[1]))[:6]
info = sources["test"].info
figure, cells = plt.subplots(6, 8, figsize=(9, 7))
for row, c in zip(cells, common, strict=True):
    members = np.flatnonzero(cluster == c)
    members = members[np.argsort(-probability[members, c])][:8]
    images = np.stack([sources["test"][int(i)]["image"] for i in members] or [np.zeros((8, 8, 3))])
    for cell in row:
        cell.axis("off")
    for cell, picture in zip(row, plots.rgb(images, info.bands, info.unit), strict=False):
        cell.imshow(picture)

# %%
from astrojax.evaluate import clustering

label = table.columns["label"]
print(
    {k: round(v, 3) for k, v in clustering.scores(cluster[label >= 0], label[label >= 0]).items()}
)

# %% [markdown]
# ## From here
#
# - Your own pictures: `experiments/self_classifier.py:galaxy_zoo --config.data.path=FILE.npz`;
#   `clusters.csv` beside the report has the class of every object.
# - The paper's CIFAR-10 and ImageNet runs: `:cifar10`, `:imagenet`; the later version: `:eccv`.
