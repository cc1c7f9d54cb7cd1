# SPDX-License-Identifier: Apache-2.0
"""Positions on the sky: nearest neighbours and groups within a distance."""

import numpy as np
from jaxtyping import Float, Int

ARCSEC = np.pi / 180 / 3600  # in radians


def nearest(
    ra: Float[np.ndarray, " n"],
    dec: Float[np.ndarray, " n"],
    other_ra: Float[np.ndarray, " m"],
    other_dec: Float[np.ndarray, " m"],
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """For each position the nearest of some others, and its distance in arcseconds."""
    from scipy.spatial import cKDTree

    tree = cKDTree(_unit_vectors(other_ra, other_dec))
    chord, index = tree.query(_unit_vectors(ra, dec))
    return index, 2 * np.arcsin(np.minimum(chord / 2, 1)) / ARCSEC


def friends_of_friends(ra: np.ndarray, dec: np.ndarray, link: float) -> np.ndarray:
    """Friends of friends: a group number for each position."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    tree = cKDTree(_unit_vectors(ra, dec))
    pairs = tree.query_pairs(2 * np.sin(link * ARCSEC / 2), output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(ra), len(ra)))
    return connected_components(graph, directed=False)[1]


def _unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    a, d = np.deg2rad(np.asarray(ra, float)), np.deg2rad(np.asarray(dec, float))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], -1)
