# SPDX-License-Identifier: Apache-2.0
"""A small survey with a known embedding, for the evaluation tasks."""

import numpy as np
import pytest

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.inference.table import Table

BANDS = ("F606W", "F814W", "F125W", "F160W")
CLASSES = ("elliptical", "spiral", "merger")


def galaxies(label, magnitude, rng, size=24):
    """Round, elongated or double blobs [n h w c] with unit noise."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    images = []
    for kind, mag in zip(label, magnitude, strict=True):
        q, shift = (1.0, 0.35, 0.8)[kind], (0, 0, 5)[kind]
        blob = np.exp(-np.hypot(x, y / q) / 2.5)
        blob += (shift > 0) * np.exp(-np.hypot(x - shift, y - shift) / 2)
        flux = 60 * 10 ** (-0.4 * (mag - 22))
        images.append(blob[..., None] * flux + rng.normal(size=(size, size, 4)))
    return np.stack(images).astype(np.float32)


def survey(n, seed, prefix):
    """A source, and the table that a good method would make of it."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, n, p=[0.5, 0.42, 0.08])
    redshift = rng.gamma(3, 0.35, n).astype(np.float32)
    color = np.stack([np.zeros(n), -0.5 * redshift, -0.9 * redshift, -1.2 * redshift], 1)
    magnitude = (22 + rng.normal(size=n)[:, None] + color).astype(np.float32)
    centre = np.array([[3, 0, 0], [0, 3, 0], [-2, -2, 5]])[label]
    embedding = rng.normal(size=(n, 8))
    embedding[:, :3] += centre
    embedding[:, 3] += 3 * redshift
    embedding[:, 4] += magnitude[:, 3] - 21
    logit = embedding[:, :3] + rng.normal(size=(n, 3)) * 0.3
    probability = np.exp(logit) / np.exp(logit).sum(1, keepdims=True)
    known = redshift.copy()
    known[::7] = np.nan
    columns = {
        "id": np.array([f"{prefix}{i:04d}" for i in range(n)]),
        "redshift": known,
        "label": label,
        "magnitude": magnitude,
        "magnitude_error": np.full((n, 4), 0.05, np.float32),
    }
    noisy = redshift + 0.05 * (1 + redshift) * rng.standard_t(3, n)
    table = Table(
        columns["id"],
        embedding.astype(np.float32),
        {
            "redshift": noisy.astype(np.float32),
            "class_probability": probability.astype(np.float32),
            "magnitude": magnitude + rng.normal(size=magnitude.shape).astype(np.float32) * 0.1,
            "anomaly_score": (embedding[:, 2] + rng.normal(size=n)).astype(np.float32),
        },
        {k: v for k, v in columns.items() if k != "id"},
    )
    info = DataInfo(bands=BANDS, image_size=24, unit="sigma", zero_point=25.0, classes=CLASSES)
    return ArraySource({"image": galaxies(label, magnitude[:, 0], rng), **columns}, info), table


@pytest.fixture(scope="session")
def world():
    """(tables, sources) of a train, a validation and a test split."""
    sizes = {"train": 300, "validation": 120, "test": 160}
    made = {s: survey(n, i, s[:2]) for i, (s, n) in enumerate(sizes.items())}
    return {s: m[1] for s, m in made.items()}, {s: m[0] for s, m in made.items()}
