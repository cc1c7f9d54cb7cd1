# SPDX-License-Identifier: Apache-2.0
"""A bundle shared on the Hugging Face Hub, with a model card: data, licence, scores, how to use."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astrojax.evaluate import report
from astrojax.files import read_json
from astrojax.inference import bundle, evaluation
from astrojax.interop import hub

_TEXT = """
# {{ name }}

{{ method }} trained on {{ trained_on }} with [astrojax](https://github.com/astrojax/astrojax)
{{ version }} (checkpoint {{ checkpoint }}, config {{ config_hash }}).

    import astrojax
    model = astrojax.load("{{ where }}")
    model.embed(images)  # [n, h, w, {{ bands|length }}]

    astrojax embed --model {{ where }} --data cutouts/ --set bands={{ bands|join(",") }} \\
        --set unit={{ unit }} --out galaxies.parquet

## What the images have to be

| | |
|---|---|
{% for key, value in rows -%}
| {{ key }} | {{ value }} |
{% endfor %}
Images that do not fit are refused, and those unlike the training images are flagged:
`reference.safetensors` has embeddings of training images for that.
{% if sections %}
## Scores

Of the test split, which was not trained on; errors are bootstrap errors.

| evaluation | metric | value |
|---|---|---|
{% for title, metric, value in sections -%}
| {{ title }} | {{ metric }} | {{ value }} |
{% endfor %}{% else %}
The run was not evaluated.
{% endif %}
## Licence

{{ license }}
"""


def check(where: str) -> None:
    """Raises `UserError` if `where` is no `hf://owner/name`; before a bundle is made for it."""
    hub.parse(where)


def push(folder: Path, workdir: Path, where: str, *, license: str, private: bool) -> str:
    """Uploads a bundle and its model card.

    Args:
        folder: The bundle.
        workdir: The run, whose evaluation has the scores.
        where: `hf://owner/name[@branch]`.
        license: The hub's name of the licence, e.g. "cc-by-4.0".
        private: Whether a new model is seen by its owner alone.

    Returns:
        The address of the commit.

    Raises:
        UserError: The bundle is damaged, or the hub does not take it.
    """
    model = bundle.load(folder)  # checks its hashes
    method = type(model.method).__module__.rpartition(".")[2]
    tags = ("astronomy", "self-supervised-learning", "jax", method)
    head = hub.front_matter(license=license, tags=tags)
    file = workdir / evaluation.FOLDER / "metrics.json"
    numbers = read_json(file) if file.is_file() else {}
    text = head + readme(model.card, method, numbers, where=where, license=license)
    files = [name for name in bundle.CONTENTS if (folder / name).is_file()]
    return hub.push(folder, where, files, text, private=private, message=f"Upload {method} bundle")


def readme(
    card: Mapping[str, Any],
    method: str,
    numbers: Mapping[str, Mapping[str, Any]],
    *,
    where: str,
    license: str,
) -> str:
    """Returns the model card in Markdown, without its front matter.

    Args:
        card: The bundle's card.
        method: Name of the method.
        numbers: `metrics.json` of the run's evaluation; empty where there is none.
        where: Address of the model.
        license: Its licence.
    """
    import jinja2

    data = card["data"]
    rows = [
        ("bands, in this order", ", ".join(data["bands"])),
        ("unit", data["unit"]),
        ("zero point (AB mag)", data.get("zero_point")),
        ("pixel scale (arcsec)", data.get("pixel_scale")),
        ("dereddened", "yes" if card["dereddened"] else "no"),
        ("least side (pixels)", card["crop"] or data.get("image_size")),
        ("stretch in the network", json.dumps(card["stretch"])),
        ("classes", ", ".join(data.get("classes") or ())),
    ]
    sections = []
    for title, metrics in numbers.items():
        known = {
            k: math.nan if v is None else float(v)
            for k, v in metrics.items()
            if v is None or isinstance(v, int | float)
        }
        if title != "cost":
            sections += [(title, name, value) for name, value in report.paired(known)]
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(_TEXT)
    return template.render(
        name=hub.parse(where).repo.partition("/")[2],
        where=where,
        method=method,
        trained_on=card["trained_on"],
        version=card["astrojax"],
        checkpoint=card.get("checkpoint", ""),
        config_hash=card.get("config_hash", ""),
        bands=data["bands"],
        unit=data["unit"],
        rows=[(k, _cell(v)) for k, v in rows if v not in (None, "")],
        sections=[tuple(map(_cell, row)) for row in sections],
        license=license,
    )


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
