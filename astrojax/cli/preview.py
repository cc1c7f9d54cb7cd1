# SPDX-License-Identifier: Apache-2.0
r"""Shows what a network would see of your data, before anything is trained.

    astrojax preview --data cutouts/ --set bands=u,g,r,i
    astrojax preview --data stamps.h5 --set catalogue=labels.csv --recipe ijepa --out look.html

The page and the PNG beside it have the number of images in each split, bands and units, sky noise,
NaN, saturated and duplicated stamps, what was left out, the labels, and pictures: stamps, the same
in the stretch that the network sees, and the views that the recipe makes of them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from astrojax.cli import options
from astrojax.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("preview", __doc__)
    options.add_training_data(made)
    add = made.add_argument
    add("--recipe", default="lejepa", metavar="NAME", help="whose views are drawn (default lejepa)")
    add("--size", choices=("small", "base", "large"), default="small", help="of the recipe")
    add(
        "--out",
        default="preview.html",
        metavar="FILE.html",
        help="page to write; the pictures are the same with .png (default preview.html)",
    )
    add("--overwrite", action="store_true", help="replace page and picture if they exist")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_preview, parser(), "preview", arguments)


def _preview(given: argparse.Namespace, command: str) -> None:
    from astrojax.data import detect, section
    from astrojax.data.open import open_data
    from astrojax.inference import data_preview, writers
    from astrojax.training.recipes.pretraining import RECIPES

    if given.data is None:
        raise UserError("say which images: --data FILE or FOLDER")
    if given.recipe not in RECIPES:
        raise UserError(f"there is no recipe {given.recipe!r}; there are {', '.join(RECIPES)}")
    out = Path(given.out).expanduser()
    if out.suffix != ".html":
        raise UserError(f"--out {given.out} has to end in .html")
    settings = section.parse(given.settings)
    reader, _ = detect.recognise(given.data, dict(settings))
    if "bad_pixels" in detect.parameters(reader):  # they are counted here, not refused
        settings.setdefault("bad_pixels", "keep")
    data = open_data(given.data, **settings)
    with writers.new_files(out, out.with_suffix(".png"), overwrite=given.overwrite):
        for part in data_preview.write(data, out, recipe=given.recipe, size=given.size):
            print(f"\n{part.heading}")
            for name, *values in part.rows:
                print(f"  {name:<30}{'; '.join(values)}")
    print(f"\npage: {out}\npictures: {out.with_suffix('.png')}")
