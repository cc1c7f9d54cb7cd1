# SPDX-License-Identifier: Apache-2.0
"""The training loop and what it needs: settings, optimizers, checkpoints, monitor, log."""
