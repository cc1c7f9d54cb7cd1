# SPDX-License-Identifier: Apache-2.0
"""Simulated astronomy images: embedded data, so that everything runs without a download."""
