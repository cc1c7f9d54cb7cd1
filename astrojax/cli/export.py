# SPDX-License-Identifier: Apache-2.0
r"""A trained run as something to share: a model bundle, or a backbone for PyTorch.

    astrojax export --workdir runs/pita --out pita-candels
    astrojax export --workdir runs/lejepa --format timm --out vit.safetensors

A bundle is a folder with weights, what the images have to be, and a sample of embedded training
images; `astrojax.load(folder)` and every command's --model open it. The formats torchvision and
timm write the backbone alone, with the names that these libraries give its weights.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from astrojax.cli import options


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("export", __doc__)
    add = made.add_argument
    add("--workdir", required=True, metavar="RUN", help="folder of a trained run")
    add("--out", required=True, metavar="WHERE", help="folder of the bundle, or .safetensors file")
    add(
        "--format",
        choices=("bundle", "torchvision", "timm"),
        default="bundle",
        help="what to write (default bundle)",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_export, parser(), "export", arguments)


def _export(given: argparse.Namespace, command: str) -> None:
    from astrojax import export, files
    from astrojax.errors import UserError
    from astrojax.inference import backbone_weights, model

    if given.format == "bundle":
        print(f"{export(given.workdir, given.out)}: model bundle")
        return
    out = Path(given.out).expanduser()
    with files.lock(out):
        if out.exists():
            raise UserError(f"{out} exists already; give another name, or remove it")
        told = backbone_weights.save(
            model.open_model(given.workdir, None).method, out, library=given.format
        )
    print(f"{out}: {told}")
