# SPDX-License-Identifier: Apache-2.0
"""Models on the Hugging Face Hub: `hf://owner/name[@revision]` wherever a folder is expected.

Needs `huggingface_hub` (`pip install 'astrojax[hub]'`). Files are kept in its cache, so a model is
fetched once, and found there without a network. The environment variable `HF_ENDPOINT` names
another server, `HF_TOKEN` opens private models.
"""

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from astrojax.errors import UserError

SCHEME = "hf://"
_NO_REVISION = "{}: there is no such branch, tag or commit: leave @revision out for the newest"
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class Address(NamedTuple):
    """A model on the hub: "owner/name", and a branch, tag or commit (None for the newest)."""

    repo: str
    revision: str | None


def is_address(where: str | Path) -> bool:
    """Returns whether a place is on the hub, not on this machine."""
    return str(where).startswith(SCHEME)


def parse(where: str) -> Address:
    """Returns the parts of `hf://owner/name[@revision]`.

    Raises:
        UserError: It has another form.
    """
    repo, _, revision = where.removeprefix(SCHEME).strip("/").partition("@")
    if not is_address(where) or not _NAME.fullmatch(repo):
        raise UserError(f"{where!r} is no model on the hub: write hf://owner/name[@revision]")
    return Address(repo, revision or None)


def local_folder(where: str | Path, files: Sequence[str]) -> Path:
    """Returns the folder of a model: what is on the hub is fetched first, a path stays as it is.

    Args:
        where: A folder, or `hf://owner/name[@revision]`.
        files: Names of the files that are fetched, where they exist.

    Raises:
        UserError: There is no such model or revision, it is private, the hub cannot be reached, or
            `huggingface_hub` is not installed.
    """
    if not is_address(where):
        return Path(where)
    address = parse(str(where))
    hub = _library()
    with _sentences(str(where)):
        found = hub.snapshot_download(
            address.repo, revision=address.revision, allow_patterns=list(files)
        )
    return Path(found)


def push(
    folder: Path, where: str, files: Sequence[str], readme: str, *, private: bool, message: str
) -> str:
    """Uploads files of a folder, and a README.md, as one commit; the model is made if it is new.

    Args:
        folder: The folder.
        where: `hf://owner/name[@branch]`.
        files: Names of the files.
        readme: Content of README.md, the model card that the hub shows.
        private: Whether a new model can be seen by its owner alone.
        message: Subject of the commit.

    Returns:
        The address of the commit.

    Raises:
        UserError: No right to write there, the hub cannot be reached, or `huggingface_hub` is not
            installed.
    """
    address = parse(where)
    hub = _library()
    adds = [hub.CommitOperationAdd(name, str(folder / name)) for name in files]
    adds.append(hub.CommitOperationAdd("README.md", readme.encode()))
    with _sentences(where):
        api = hub.HfApi(library_name="astrojax")
        api.create_repo(address.repo, private=private, exist_ok=True)
        done = api.create_commit(
            address.repo, adds, commit_message=message, revision=address.revision
        )
    return str(done.commit_url)


def front_matter(*, license: str, tags: Sequence[str]) -> str:
    """Returns the YAML at the head of a model card, by which the hub files it.

    Args:
        license: The hub's name of a licence, e.g. "apache-2.0" or "cc-by-4.0".
        tags: Tags.

    Raises:
        UserError: `huggingface_hub` is not installed.
    """
    data = _library().ModelCardData(
        license=license,
        library_name="astrojax",
        pipeline_tag="image-feature-extraction",
        tags=list(tags),
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _library() -> Any:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UserError(f"{SCHEME} needs huggingface_hub: pip install 'astrojax[hub]'")
    import huggingface_hub

    return huggingface_hub


@contextlib.contextmanager
def _sentences(where: str) -> Iterator[None]:
    """Turns what the hub answers into one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"{where} asks for its terms to be accepted: do so on its page, then set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"there is no model {where}, or it is private: check the name, or give your token "
            "(`hf auth login`, or the variable HF_TOKEN)"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(_NO_REVISION.format(where)) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        remedy = "try again later"
        if status in (401, 403):
            remedy = "give a token that may do this (`hf auth login`, or the variable HF_TOKEN)"
        raise UserError(f"{where}: the hub answers {status}: {remedy}") from None
    except errors.HFValidationError as error:
        raise UserError(f"{where} is no name of a model: {error}") from None
    except OSError as error:  # of the connection, also where the library raises its own kind
        if isinstance(error.__cause__, errors.RevisionNotFoundError):
            raise UserError(_NO_REVISION.format(where)) from None
        raise UserError(
            f"{where} cannot be reached and is not in the cache of this machine "
            f"({type(error.__cause__ or error).__name__}): check the network, or copy the folder "
            "here by hand"
        ) from None
    except Exception as error:  # of its client, whichever it uses, and of its threads after that
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(f"{where} cannot be reached ({reason}): check the network") from error
