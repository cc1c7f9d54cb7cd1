# SPDX-License-Identifier: Apache-2.0
r"""Predictions of a trained model: one row per object, with id, predictions, errors and flags.

    astrojax predict --workdir runs/pita --out test.fits
    astrojax predict --model BUNDLE --data stamps.h5 --set pixel_scale=0.2 \
        --out photoz.parquet --with-embedding

The columns are what the model's heads give: predicted_redshift (and predicted_redshift_sigma with
its density, where the head is a mixture), predicted_magnitude_<band>, predicted_label,
predicted_class and predicted_class_probability_<class>, lens parameters, predicted_anomaly_score.
Beside them are id, the data's own columns, ood_score (kNN distance from the training
images in the embedding) and flags: flag_bad_pixels (NaN pixels: predictions are empty), flag_edge,
flag_unreadable and flag_out_of_distribution (unlike the training images: do not trust the
prediction).

Memory does not grow with the number of objects, all devices are used, and a command that was
killed goes on where it was when it is given again.
"""

import argparse
from collections.abc import Sequence

from astrojax.cli import options
from astrojax.cli.embed import make


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("predict", __doc__)
    options.add_model(made)
    options.add_data(made)
    options.add_table(made)
    made.add_argument(
        "--with-embedding",
        action="store_true",
        help="add the embedding, for `astrojax similar` and `anomalies`",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_predict, parser(), "predict", arguments)


def _predict(given: argparse.Namespace, command: str) -> None:
    make(given, command, embedding=given.with_embedding, predictions=True)
