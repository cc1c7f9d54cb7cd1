# SPDX-License-Identifier: Apache-2.0
"""Simulated galaxy surveys with known redshifts: populations, spectra, rendering."""
