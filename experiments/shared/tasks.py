# SPDX-License-Identifier: Apache-2.0
"""Sections of `evaluate`."""

from typing import Any

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def linear_probe(**changed: Any) -> dict[str, Any]:
    """Returns a linear probe of the label on all labelled examples."""
    fixed = {"targets": (), "penalties": PENALTIES, "fractions": (), "repeats": 1}
    return {**fixed, "max_iterations": 300, "n_bootstrap": 200, "seed": 0, **changed}


def knn() -> dict[str, Any]:
    """Returns a vote of the nearest neighbours."""
    return {"k": (5, 10, 20, 50), "temperature": 0.1, "n_bootstrap": 200, "seed": 0}


def projection(method: str, **changed: Any) -> dict[str, Any]:
    """Returns a plane of the embeddings, with a mosaic."""
    fixed = {"columns_shown": (), "perplexity": 30.0, "neighbors": 15, "limit": 1000}
    return {"method": method, **fixed, "mosaic": 12, "k": 10, "seed": 0, **changed}


def explorer() -> dict[str, Any]:
    """Returns the page to look around in."""
    fixed = {"method": "tsne", "perplexity": 30.0, "neighbors": 15, "seed": 0}
    return {**fixed, "limit": 5000, "thumbnail": 48}
