# SPDX-License-Identifier: Apache-2.0
"""Evaluation: a table of embeddings per split, and pure functions of it."""
