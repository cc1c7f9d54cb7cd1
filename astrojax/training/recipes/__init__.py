# SPDX-License-Identifier: Apache-2.0
"""Recipes: whole configs, fitted to the data that are to be trained on.

`pretraining` and `finetuning` make them, `fit` measures the data, and `parts` has the sections
that recipes and experiments are made of.
"""
