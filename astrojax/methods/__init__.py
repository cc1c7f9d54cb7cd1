# SPDX-License-Identifier: Apache-2.0
"""One file per method; a method needs no registration."""
