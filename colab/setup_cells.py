# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# ## Set-up
#
# On Colab, choose an accelerator under *Runtime → Change runtime type* (a T4 or better, or the TPU
# v5e-1), say which below, and run the cell; it fetches astrojax and installs it with the JAX for
# that accelerator. Elsewhere the cell does nothing: install astrojax as its README says and start
# the notebook in the repository's folder.

# %%
import os
import subprocess
import sys

ACCELERATOR = "gpu"  # @param ["gpu", "tpu", "cpu"]
REPOSITORY = "https://github.com/astrojax/astrojax"

if "google.colab" in sys.modules and not os.path.isdir("experiments"):
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY], check=True)
    os.chdir("astrojax")
    jax_extra = {"gpu": "jax[cuda12]", "tpu": "jax[tpu]", "cpu": "jax"}[ACCELERATOR]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", ".", jax_extra], check=True)

# %% [markdown]
# Which devices JAX sees. If this shows a CPU where you chose a GPU or a TPU, restart the runtime
# and run on from here.

# %%
import jax

print(jax.__version__, jax.devices())

# %% [markdown]
# `SMALL` makes everything tiny, to see in a minute that it runs; numbers and figures mean nothing
# then. Without it a notebook takes some minutes on a laptop.

# %%
import tempfile
from pathlib import Path

SMALL = bool(os.environ.get("ASTROJAX_SMALL"))
VARIANT = "smoke" if SMALL else ""
RUNS = Path(tempfile.mkdtemp()) if SMALL else Path("runs")
sys.path.insert(0, "experiments")
