# SPDX-License-Identifier: Apache-2.0
"""What comparisons hold fixed: sections of configs that several experiments take as they are.

An experiment puts its folder on `sys.path` and imports from here, from whatever folder it is run.
Every function returns a new section; keywords are what may differ.
"""
