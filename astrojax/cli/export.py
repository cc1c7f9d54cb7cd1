# SPDX-License-Identifier: Apache-2.0
r"""A trained run as something to share: a model bundle, or a backbone for PyTorch.

    astrojax export --workdir runs/pita --out pita-candels
    astrojax export --workdir runs/lejepa --format timm --out vit.safetensors
    astrojax export --workdir runs/pita --push hf://owner/pita-candels --license cc-by-4.0

A bundle is a folder with weights, what the images have to be, and a sample of embedded training
images; `astrojax.load(folder)` and every command's --model open it. --push uploads the bundle to
the Hugging Face Hub with a model card that says what the images have to be, the licence and the
scores of the run's evaluation; `astrojax.load("hf://owner/name")` opens it there. The formats
torchvision and timm write the backbone alone, with the names that these libraries give its weights.
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
    add("--out", metavar="WHERE", help="folder of the bundle, or .safetensors file")
    add(
        "--format",
        choices=("bundle", "torchvision", "timm"),
        default="bundle",
        help="what to write (default bundle)",
    )
    add("--push", metavar="hf://OWNER/NAME", help="upload the bundle to the Hugging Face Hub")
    add("--license", metavar="NAME", help="of what is pushed, e.g. cc-by-4.0 or apache-2.0")
    add("--private", action="store_true", help="a model that --push makes is seen by you alone")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_export, parser(), "export", arguments)


def _export(given: argparse.Namespace, command: str) -> None:
    from astrojax import export, files
    from astrojax.errors import UserError
    from astrojax.inference import backbone_weights, model, model_card

    if given.push is not None and (given.format != "bundle" or given.license is None):
        raise UserError("--push uploads a bundle: give --license NAME with it, and no --format")
    if given.push is None and given.license is not None:
        raise UserError("--license goes with --push hf://owner/name")
    if given.out is None and given.push is None:
        raise UserError("say where to: --out FOLDER, or --push hf://owner/name")
    if given.push is not None:
        model_card.check(given.push)
    if given.format == "bundle" and given.out is not None:
        print(f"{export(given.workdir, given.out)}: model bundle")
    if given.push is not None:
        folder = Path(given.out) if given.out else model.bundle_of(given.workdir)
        print(
            model_card.push(
                folder,
                Path(given.workdir),
                given.push,
                license=given.license,
                private=given.private,
            )
        )
    if given.format == "bundle":
        return
    out = Path(given.out).expanduser()
    with files.lock(out):
        if out.exists():
            raise UserError(f"{out} exists already; give another name, or remove it")
        told = backbone_weights.save(
            model.open_model(given.workdir, None).method, out, library=given.format
        )
    print(f"{out}: {told}")
