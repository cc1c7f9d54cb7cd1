# SPDX-License-Identifier: Apache-2.0
"""Makes the two figures of the README from a run of PITA's default.

    python -m astrojax.main --config experiments/pita.py
    python tools/readme_figures.py --workdir runs/pita

writes `docs/figures/survey.png`, galaxies of the simulated survey that the run was tested on, and
`docs/figures/photoz.png`, predicted against reference redshift of all of them.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from astrojax.config import plain
from astrojax.data.open import open_sources
from astrojax.data.source import Source
from astrojax.evaluate import photoz, plots
from astrojax.inference.table import Table
from astrojax.training import checkpoint

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SHOWN, COLUMNS = 16, 8


def survey_figure(source: Source, path: Path) -> Path:
    """Some of the brighter objects, each with its redshift."""
    bright = np.argsort(source.column("magnitude")[:, -1], kind="stable")[: len(source) // 2]
    chosen = bright[np.linspace(0, len(bright) - 1, SHOWN).astype(int)]
    chosen = chosen[np.argsort(source.column("redshift")[chosen])]
    images = np.stack([source[int(i)]["image"] for i in chosen])
    pictures = plots.rgb(images, source.info.bands, source.info.unit)
    canvas = plots.figure(8.0, 2.35)
    cells = canvas.subplots(len(chosen) // COLUMNS, COLUMNS).ravel()
    for cell, picture, z in zip(cells, pictures, source.column("redshift")[chosen], strict=True):
        cell.imshow(picture, interpolation="nearest")
        cell.set_title(f"z = {z:.2f}", fontsize=8, pad=2)
        cell.axis("off")
    canvas.savefig(path, dpi=110)
    with Image.open(path) as drawn:  # noise in millions of colors is a large file
        drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def photoz_figure(table: Table, path: Path) -> Path:
    """Predicted against reference redshift, with the numbers."""
    z_ref, z_pred = table.columns["redshift"], table.predictions["redshift"]
    known = np.isfinite(z_ref)
    scores = photoz.metrics(z_pred[known], z_ref[known])
    numbers = f"NMAD {scores['nmad']:.3f}, outliers {100 * scores['outlier_fraction']:.0f}%"
    return photoz.density_figure(
        z_pred[known], z_ref[known], path, f"PITA, {known.sum()} test galaxies: {numbers}"
    )


def main() -> None:
    """Parses the command line and writes both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="folder of the finished run")
    workdir = parser.parse_args().workdir
    FIGURES.mkdir(parents=True, exist_ok=True)
    config = plain(checkpoint.read_config(workdir))
    print(survey_figure(open_sources(config["data"])["test"], FIGURES / "survey.png"))
    table = Table.load(workdir / "evaluation" / "test.parquet")
    print(photoz_figure(table, FIGURES / "photoz.png"))


if __name__ == "__main__":
    main()
