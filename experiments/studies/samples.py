# SPDX-License-Identifier: Apache-2.0
r"""Examples of each class, and one object's magnitudes: Table I and Figures 1 to 3 of Martinazzo.

    python experiments/studies/samples.py magnitudes --out runs/samples
    python experiments/studies/samples.py magnitudes:paper --table splus.cat --cutouts cutouts
    python experiments/studies/samples.py transfer:sgq_scratch --table splus_classes.csv \
        --cutouts cutouts
    python experiments/studies/samples.py transfer:mg_scratch --path mergers
    python experiments/studies/samples.py transfer:ef15_scratch --path efigi.npz

Opens the data of an experiment (name, or name:variant). `samples.png` has a row of test images for
each class, or rows of any where there are no classes. Where the data have magnitudes,
`magnitudes.csv` has those of one random object with their uncertainties, band by band.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
from common import experiment, run, write_rows

from astrojax.data.open import open_sources
from astrojax.data.source import has_column
from astrojax.evaluate import plots


def section_of(options: argparse.Namespace) -> dict[str, Any]:
    """The section `data` of the experiment, with the places that were given."""
    section = experiment(*options.experiment.split(":"))["data"]
    section |= {key: getattr(options, key) for key in ("path", "table") if getattr(options, key)}
    if options.cutouts:
        section["cutouts"] = {**section["cutouts"], "path": options.cutouts}
    section.pop("exclude", None)  # what it leaves out can be seen too
    return section


def sheet(source: Any, path: Path, per_row: int, rng: np.random.Generator) -> None:
    """Draws images of each class, class by class."""
    names, rows = source.info.classes, []
    label = np.asarray(source.column("label")) if has_column(source, "label") else None
    for index in range(len(names) if names and label is not None else 3):
        known = np.flatnonzero(label == index) if names and label is not None else len(source)
        rows.append(rng.permutation(known)[:per_row])
    captions, pictures = [], []
    for index, row in enumerate(rows):
        images = np.stack([source[int(i)]["image"] for i in row])
        images = images / 255 if images.dtype == np.uint8 else images
        pictures += list(plots.rgb(images, source.info.bands, source.info.unit))
        pictures += [np.ones_like(pictures[0])] * (per_row - len(row))
        captions += [names[index] if names else ""] + [""] * (per_row - 1)
    plots.contact_sheet(np.stack(pictures), captions, path, per_row=per_row)


def magnitudes(source: Any, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The magnitudes of one object and their uncertainties."""
    example = source[int(rng.integers(len(source)))]
    bands = source.info.catalogue_bands or source.info.bands
    errors = example.get("magnitude_error", np.full(len(bands), np.nan))
    rows = zip(bands, example["magnitude"], errors, strict=True)
    return [
        {"band": band, "magnitude": float(value), "uncertainty": float(error)}
        for band, value, error in rows
    ]


def main() -> None:
    """Opens, draws, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", help="name or name:variant")
    parser.add_argument("--path", help="file or folder of the data")
    parser.add_argument("--table", help="catalogue")
    parser.add_argument("--cutouts", help="folder of the cutouts of a catalogue")
    parser.add_argument("--per-row", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/samples"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sources, rng = open_sources(section_of(options)), np.random.default_rng(options.seed)
    source = sources.get("test", sources["train"])
    sheet(source, options.out / "samples.png", options.per_row, rng)
    if has_column(source, "magnitude"):
        found = magnitudes(source, rng)
        write_rows(options.out / "magnitudes.csv", found)
        for row in found:
            logging.info("%(band)s %(magnitude).2f +- %(uncertainty).2f", row)


if __name__ == "__main__":
    run(main)
