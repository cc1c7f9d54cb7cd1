# SPDX-License-Identifier: Apache-2.0
"""HTML pages: templates that escape what they are given, and run no script but their own.

A page is one file that fetches nothing. What it shows comes from files of anybody, so texts are
escaped by the template, data stand as JSON in an element that is not run, and the page's
Content-Security-Policy allows the script and the style of this package, by their hashes, and
nothing else: an event handler or a script that got into the page by any way would not run.
"""

import base64
import hashlib
import json
from importlib import resources
from typing import Any

_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def render(name: str, *, data: Any = None, style: str | None = None, **values: Any) -> str:
    """Returns a page as text.

    Args:
        name: The template `<name>.html`; beside it `<name>.css`, and `<name>.js` if it has a
            script.
        data: JSON values for the script.
        style: Name of the template whose `.css` the page has; None for its own.
        **values: What the template shows; escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    folder = resources.files(__package__).joinpath("templates")
    parts = {}
    for kind, suffix in (("style", "css"), ("script", "js")):
        file = folder.joinpath(f"{style or name if kind == 'style' else name}.{suffix}")
        parts[kind] = file.read_text(encoding="utf-8") if file.is_file() else ""
    policy = _POLICY.format(**{kind: _allowed(text) for kind, text in parts.items()})
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(f"{name}.html").render(
        # The hashes hold quotes, which stand within an attribute in double quotes.
        policy=Markup(policy),
        data=Markup(as_json(data)),
        **{kind: Markup(text) for kind, text in parts.items()},
        **values,
    )


def as_json(value: Any) -> str:
    """Returns JSON that stays text within HTML, whatever it holds: only ASCII, no markup."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # U+2028 too becomes \\u2028
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _allowed(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
    return f"'sha256-{digest}'" if text else "'none'"
