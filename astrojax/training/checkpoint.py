# SPDX-License-Identifier: Apache-2.0
"""Checkpoints by Orbax: save, restore, and the parts of one run that another run starts from."""

import contextlib
import itertools
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import astrojax
from astrojax import distributed, files
from astrojax.config import plain
from astrojax.errors import UserError


class Checkpoints:
    """The checkpoints of a run, `workdir/checkpoints/<step>`.

    Orbax writes to a temporary folder and renames it, so a killed save leaves the previous
    checkpoint as the newest. A checkpoint that cannot be read back is skipped with a warning.

    Args:
        folder: Where the checkpoints are.
        keep: How many of the newest are kept.
        read_only: Change nothing in the folder, where a training may be writing meanwhile.
    """

    def __init__(self, folder: Path, *, keep: int, read_only: bool = False):
        ocp = _orbax()
        # Every device writes its part of a replicated array; of a small one that takes longer to
        # compile than to write: 5 s for the first save of a small ViT on 8 devices.
        ocp.type_handlers.register_type_handler(
            jax.Array,
            ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=2**20),
            override=True,
        )
        self._args, self.read_only = ocp.args, read_only
        self.manager = ocp.CheckpointManager(
            folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=None if read_only else keep,
                cleanup_tmp_directories=not read_only,
                create=not read_only,
                read_only=read_only,
            ),
        )

    def save(self, step: int, state: Any, extra: dict[str, Any]) -> None:
        """Begins to write; the arrays are copied first, so training may go on at once."""
        items = {"state": self._args.StandardSave(state), "extra": self._args.JsonSave(extra)}
        with self._writing():
            self.manager.save(step, args=self._args.Composite(**items), force=True)

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """Returns the newest readable checkpoint as (state, extra), or None if there is none.

        Args:
            like: The state's tree of `jax.ShapeDtypeStruct` with the wanted shardings.

        Raises:
            UserError: There are checkpoints, and none can be read.
        """
        steps = sorted(self.manager.all_steps(), reverse=True)
        args = self._args.Composite(
            state=self._args.StandardRestore(like), extra=self._args.JsonRestore()
        )
        failures: list[int] = []
        for step in steps:
            damage = "another process cannot read it"
            try:
                found = self.manager.restore(step, args=args)
            except Exception as error:  # whatever a damaged file makes Orbax raise
                if distributed.lost_process(error):
                    raise
                found, damage = None, str(error).split("\n")[0][:120]
            if distributed.all_processes(found is not None):
                self._set_aside([] if self.read_only else failures)
                return found["state"], found["extra"]
            failures.append(step)
            logging.warning(
                "checkpoint %s/%d is damaged (%s); trying the one before it",
                self.manager.directory,
                step,
                damage,
            )
        if self.read_only:
            self.manager.reload()
            if set(self.manager.all_steps()) - set(steps):  # a training went on meanwhile
                return self.restore(like)
        if steps:
            raise UserError(
                f"no checkpoint in {self.manager.directory} can be read for this model; "
                "give another --workdir, or remove that folder to begin again"
            )
        return None

    def _set_aside(self, steps: list[int]) -> None:
        """Moves damaged checkpoints out of the way of the run's next save; deletes nothing."""
        folder = Path(self.manager.directory)
        for step in steps if distributed.is_main() else ():
            aside = folder.with_name(f"damaged_{folder.name}_{step}")
            again = (aside.with_name(f"{aside.name}_{n}") for n in itertools.count(2))
            while aside.exists():  # the same step was damaged before
                aside = next(again)
            os.rename(folder / str(step), aside)
        if steps and distributed.all_processes(True):  # none reads the folder before it is in order
            self.manager.reload()

    def close(self) -> None:
        """Waits until what was saved is on disk."""
        with self._writing():
            self.manager.wait_until_finished()
            self.manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Tells what a full or read-only disk makes Orbax (OSError) and TensorStore raise."""
        folder = self.manager.directory
        try:
            with distributed.waiting(f"a checkpoint to be written to {folder}"):
                yield
        except (OSError, ValueError) as error:
            if distributed.lost_process(error):
                raise
            why = getattr(error, "strerror", None) or str(error).split(": ")[-1].split(" [os")[0]
            raise UserError(
                f"cannot write a checkpoint to {folder}: {why}; make room there and give the same "
                "command again, it goes on from the checkpoint before"
            ) from error


def _orbax() -> Any:
    """Orbax, which takes a second to import, without its words on every save and read."""
    import orbax.checkpoint

    for narrator in ("absl", "asyncio"):
        logging.getLogger(narrator).setLevel(logging.CRITICAL)
    return orbax.checkpoint


def write_config(workdir: Path, config: dict[str, Any]) -> None:
    """Writes the resolved config of a run, with the version of astrojax that made it."""
    files.write_json(workdir / "config.json", {"astrojax": astrojax.__version__, **config})


def read_config(workdir: str | Path) -> dict[str, Any]:
    """Returns the resolved config of a run.

    Raises:
        UserError: There is no run in this folder, or an older astrojax made it.
    """
    path = Path(workdir) / "config.json"
    if not path.is_file():
        raise UserError(f"{workdir} holds no run: it has no config.json")
    with files.reading(path):
        config = plain(json.loads(path.read_text(encoding="utf-8")))
        version = config.pop("astrojax", None)
    check_version(version, str(workdir))
    return config


def check_version(version: str | None, where: str) -> None:
    """Raises `UserError` if a run or bundle was made before keys and columns got their names."""
    if version is None:
        raise UserError(
            f"{where} was made by astrojax 0.1, whose names this version ({astrojax.__version__}) "
            "does not know: read it with astrojax 0.1 (pip install 'astrojax<0.2'), or train again"
        )


def restore_variables(workdir: str | Path) -> dict[str, np.ndarray]:
    """All variables of the run's best or newest checkpoint, {"backbone/stem/kernel": array}."""
    read_config(workdir)
    ocp = _orbax()
    folder = newest(Path(workdir)).absolute() / "state"
    checkpointer = ocp.PyTreeCheckpointer()
    saved = checkpointer.metadata(folder).item_metadata.tree
    wanted = jax.tree.map(
        lambda m: jax.ShapeDtypeStruct(m.shape, m.dtype), {k: saved[k] for k in ("params", "rest")}
    )
    restore = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
    tree = checkpointer.restore(
        folder,
        args=ocp.args.PyTreeRestore(wanted, restore_args=restore, partial_restore=True),
    )
    variables = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        names = [str(entry.key) for entry in path][1:]
        variables["/".join(names[:-1] if names[-1] == "value" else names)] = leaf
    return variables


def newest(workdir: Path) -> Path:
    """Returns the folder of the best checkpoint if validation chose one, else of the newest.

    Raises:
        UserError: There is none.
    """
    for kind in ("best", "checkpoints"):
        steps = [p for p in (workdir / kind).glob("*") if p.name.isdigit()]
        if steps:
            return max(steps, key=lambda p: int(p.name))
    raise UserError(f"{workdir} has no checkpoint yet: train it first")


def save_best(workdir: Path, step: int, state: Any) -> None:
    """Keeps the state of the lowest validation loss in `workdir/best`."""
    best = Checkpoints(workdir / "best", keep=1)
    if step in best.manager.all_steps():  # a resumed run comes by again
        best.manager.delete(step)
    best.save(step, state, {})
    best.close()
