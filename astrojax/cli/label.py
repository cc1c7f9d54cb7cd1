# SPDX-License-Identifier: Apache-2.0
r"""Labels by hand in a browser, in the order in which a label helps most, and a classifier of them.

    astrojax label --table galaxies.parquet --out labels.csv --classes spiral,elliptical,merger
    astrojax label --workdir runs/lejepa --data cutouts/ --set bands=g,r,z --out labels.csv \
        --classes spiral,elliptical --predictions classes.parquet

prints the address of a page on this machine (127.0.0.1, with a random token). Keys 1 to 9 give a
class, S skips, U takes back, R fits the classifier. Every click is a line of the CSV file (id,
label, time) and on disk before the next object is shown; the same command goes on with the file.

The classifier, a logistic regression on the embeddings, is fitted again after every 10 labels, and
what it is least sure of is shown next (--order uncertainty); before two classes have labels, and
with --order diversity always, objects come from all over the embedding. --order neighbors shows
what is most like an example. --refit fits, writes --predictions and ends: no page.

The table comes from `astrojax embed`; with --workdir or --model it is made first, beside --out.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from astrojax.cli import options

if TYPE_CHECKING:
    from astrojax.inference.inputs import Opened
    from astrojax.inference.labelling import Labelling


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("label", __doc__)
    add = made.add_argument
    add("--table", metavar="FILE", help="Parquet or FITS table of embeddings")
    add(
        "--out",
        required=True,
        metavar="FILE.csv",
        help="labels; a file that exists is gone on with",
    )
    add("--classes", metavar="A,B,C", help="names of the classes, at most 9 (those in the file)")
    add(
        "--order",
        choices=("uncertainty", "diversity", "neighbors"),
        help="which objects come first (default uncertainty; neighbors with --example)",
    )
    add(
        "--example", nargs="+", default=[], metavar="ID", help="objects whose neighbours come first"
    )
    add("--predictions", metavar="FILE", help="table of all objects' classes, written at each fit")
    add("--refit", action="store_true", help="fit, write --predictions and end: no page")
    add(
        "--refit-every",
        type=int,
        default=10,
        metavar="N",
        help="labels after which the classifier is fitted again (default 10); 0: when asked",
    )
    add("--port", type=int, default=0, help="port of the page (default 0: any that is free)")
    add(
        "--limit",
        type=options.positive,
        default=100_000,
        metavar="N",
        help="most objects to choose from, a random choice of a larger table (default 100000)",
    )
    add("--seed", type=int, default=0, help="seed of choice and order (default 0)")
    options.add_model(made)
    options.add_data(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_label, parser(), "label", arguments)


def _label(given: argparse.Namespace, command: str) -> None:
    from astrojax.errors import UserError
    from astrojax.inference import label_file, labelling, search, writers

    out = Path(given.out).expanduser()
    if out.suffix != ".csv":
        raise UserError(f"--out {given.out} has to end in .csv")
    predictions = given.predictions and writers.check_output(given.predictions)
    with label_file.LabelFile(out) as file:
        classes = label_file.check_classes(given.classes, list(file.labels().values()))
        rows = search.Rows(_table(given, out, command))
        opened = None if given.refit else _images(given, rows.path)
        work = labelling.begin(
            rows,
            file,
            classes=classes,
            order=given.order or ("neighbors" if given.example else "uncertainty"),
            examples=given.example,
            limit=given.limit,
            refit_every=given.refit_every,
            seed=given.seed,
        )

        def write() -> None:
            if predictions:
                with writers.new_files(predictions, overwrite=True):
                    labelling.write_predictions(work, rows, predictions, command=command)

        if opened is None:
            work.refit()
            write()
            told = f"; {predictions}: classes of all objects" if predictions else ""
            print(f"{_worth(work)}{told}")
        else:
            _serve(work, opened, given.port, write)


def _serve(work: "Labelling", opened: "Opened", port: int, write: Callable[[], None]) -> None:
    """Serves the page until Ctrl-C."""
    from astrojax.inference.label_server import LabelServer
    from astrojax.inference.stamp_pictures import Pictures

    pictures, out = Pictures(opened), work.file.path
    with LabelServer(work, pictures, port=port, title=out.stem, on_refit=write) as server:
        print(f"open {server.url}\nCtrl-C ends it; {out} has every label", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"\n{out}: {sum(work.counts().values())} labels; the same command goes on")


def _table(given: argparse.Namespace, out: Path, command: str) -> Path:
    """Returns the table of embeddings, made first where a model is given and it is not there."""
    from astrojax.cli import embed
    from astrojax.errors import UserError

    made = given.workdir or given.model
    if made is None and given.table is None:
        raise UserError("say what to label: --table FILE, or --workdir RUN with --data")
    path = Path(given.table or out.with_name(f"{out.stem}_embeddings.parquet")).expanduser()
    if made is None or path.is_file():
        return path
    asked = embed.parser().parse_args(["--out", str(path)])
    for name in ("workdir", "model", "data", "settings", "split", "as_trained"):
        setattr(asked, name, getattr(given, name))
    embed.make(asked, command, embedding=True, predictions=False)
    return path


def _images(given: argparse.Namespace, table: Path) -> "Opened":
    """Returns the images to show: those that were embedded, or those that the table names."""
    from astrojax.cli import embed
    from astrojax.inference import contact_sheet, model

    if given.workdir or given.model:
        return embed.open_for(model.open_model(given.workdir, given.model), given)
    return contact_sheet.images_of(table, given.data, optional=False)


def _worth(work: "Labelling") -> str:
    head = work.head
    assert head is not None
    right = "" if head.accuracy is None else f", {head.accuracy:.1%} right on held-out labels"
    return f"classifier of {head.labels} labels{right}"
