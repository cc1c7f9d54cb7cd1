# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # LenSiam: features of strong lenses
#
# What two views share is what a network keeps. LenSiam's views are two images of the same lens,
# with another source, another lens galaxy, another PSF and other noise, so that only the mass is
# left in common.

# %% [markdown]
# ## Pairs of one lens
#
# The simulator is a JAX function that runs inside the training step: a new pair at every visit.

# %%
import lensiam
import matplotlib.pyplot as plt
import numpy as np

from astrojax.config import call, plain
from astrojax.data.open import open_sources
from astrojax.simulate.lens.deflection import Lens
from astrojax.simulate.lens.simulator import build

config = plain(lensiam.get_config(VARIANT))
sources = open_sources(config["data"])
simulator = call(build, config["method"]["simulator"], path="simulator")
lenses = Lens(*(sources["train"].column(name)[:6] for name in Lens._fields))
pairs = jax.vmap(simulator.pair)(jax.random.split(jax.random.key(0), 6), lenses)

figure, cells = plt.subplots(2, 6, figsize=(10, 3.6))
for i in range(6):
    for j in range(2):
        cells[j, i].imshow(np.arcsinh(pairs[i, j, ..., 0] / 0.02), origin="lower", cmap="magma")
        cells[j, i].axis("off")
    cells[0, i].set_title(f"$\\theta_E$ = {lenses.theta_E[i]:.2f}″", fontsize=9)

# %% [markdown]
# ## Train

# %%
from astrojax.training import loop

loop.train(config, RUNS / "lensiam", sources)

# %% [markdown]
# ## What the features know of the lens
#
# A linear probe on the frozen features, for each of the eight parameters; R² is 1 if they are told
# exactly and 0 if not at all.

# %%
import json

from astrojax.inference import evaluation

evaluation.run(RUNS / "lensiam", sources)
numbers = json.loads((RUNS / "lensiam" / "evaluation" / "metrics.json").read_text())["linear_probe"]
r2 = {name: numbers[f"{name}_r2"] for name in Lens._fields}
plt.figure(figsize=(6, 2.6))
plt.bar(list(r2), list(r2.values()))
plt.ylabel("R² of the probe")
plt.xticks(rotation=30)

# %% [markdown]
# ## From here
#
# - The baseline with everyday augmentations: `experiments/simsiam_lenses.py`.
# - The paper's size: `experiments/lensiam.py:paper`.
# - The paper's claim, Einstein radii of another survey from 1,000 labels:
#   `experiments/studies/lensiam_transfer.py`.
