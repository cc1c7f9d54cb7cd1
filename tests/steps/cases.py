# SPDX-License-Identifier: Apache-2.0
"""What both sides of the comparison start from: sizes, first weights, inputs, draws. NumPy only.

`tests/golden/make_steps.py` (PyTorch) and `test_steps.py` read it. Weights have PyTorch's axes and
the package's names; both sides make them from these, so that none is stored.
"""

import zlib

import numpy as np

STEPS = {
    "pita": 4,
    "ijepa": 5,
    "lejepa": 6,
    "self_classifier": 10,
    "magnitudes": 8,
    "simsiam": 2,
}
VIEWS = {"pita": 2, "lejepa": 4, "self_classifier": 2, "simsiam": 2}
SHAPES = {  # batch, side, bands
    "pita": (6, 16, 4),
    "ijepa": (4, 16, 3),
    "lejepa": (8, 8, 3),
    "self_classifier": (16, 8, 3),
    "magnitudes": (8, 8, 3),
    "simsiam": (8, 16, 1),
}
GRID, BLOCKS, BLOCK, CONTEXT = 4, 2, (2, 2), 6  # I-JEPA: patches along a side, targets, visible
DIRECTIONS = (6, 16)  # LeJEPA: features of z, directions
CLASSES = (6, 6)  # Self-Classifier
QUEUE = 20  # PITA: the fourth batch of six wraps round


def weight(case: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The first value of a parameter in float64, from its name."""
    online = name.removeprefix("momentum_").removeprefix("target_")  # copies start equal
    x = np.random.RandomState(zlib.crc32(f"{case}/{online}".encode())).standard_normal(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("keys", "directions"):
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    if leaf == "running_var":
        return np.ones(shape)
    if leaf == "running_mean":
        return np.zeros(shape)
    if leaf == "layer_scale":
        return 0.5 + 0.1 * x
    if leaf == "bias":
        # Magnitudes' clipped outputs have a gradient between 0 and 1 alone.
        return 0.05 * x + (0.6 if name == "output.bias" else 0.0)
    if leaf == "weight":
        if len(shape) == 1:
            return 1 + 0.1 * x
        small = 0.1 if name == "output.weight" else 1.0
        return small * x * np.sqrt(2 / np.prod(shape[1:]))
    return 0.1 * x  # mask token


def images(case: str) -> np.ndarray:
    """Views [steps v b h w c], numbers that float32 holds."""
    b, side, bands = SHAPES[case]
    shape = (STEPS[case], VIEWS.get(case, 1), b, side, side, bands)
    seed = zlib.crc32(f"{case}/images".encode())
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def catalogue(case: str) -> dict[str, np.ndarray]:
    """Columns [steps b ...]: fluxes in microjansky, redshifts of which some are not known."""
    b, _, bands = SHAPES[case]
    random = np.random.RandomState(zlib.crc32(f"{case}/catalogue".encode()))
    flux = np.exp(random.normal(0, 1, (STEPS[case], b, bands)))
    redshift = random.uniform(0, 3, (STEPS[case], b))
    redshift[:, ::3] = -1
    return {"flux": flux, "redshift": redshift}


def masks() -> dict[str, np.ndarray]:
    """I-JEPA's patches: `context` [steps b n] and `targets` [steps b blocks m], none in both."""
    random = np.random.RandomState(zlib.crc32(b"ijepa/masks"))
    steps, b = STEPS["ijepa"], SHAPES["ijepa"][0]
    context, targets = [], []
    for _ in range(steps * b):
        corners = random.randint(0, GRID - 1, (BLOCKS, 2))
        rows, columns = np.divmod(np.arange(BLOCK[0] * BLOCK[1]), BLOCK[1])
        block = (corners[:, :1] + rows) * GRID + corners[:, 1:] + columns
        targets.append(block)
        context.append(np.setdiff1d(np.arange(GRID**2), block)[:CONTEXT])
    shape = (steps, b)
    return {
        "context": np.reshape(context, (*shape, CONTEXT)),
        "targets": np.reshape(targets, (*shape, BLOCKS, -1)),
    }


def directions() -> np.ndarray:
    """LeJEPA's unit columns, the same at every step."""
    x = np.random.RandomState(zlib.crc32(b"lejepa/directions")).standard_normal(DIRECTIONS)
    return x / np.linalg.norm(x, axis=0)
