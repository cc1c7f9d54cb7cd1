# SPDX-License-Identifier: Apache-2.0
"""Checkpoints by Orbax: save, restore, and the parts of one run that another run starts from."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from astrojax.errors import UserError
from astrojax.layers import Momentum


class Checkpoints:
    """The checkpoints of a run, `workdir/checkpoints/<step>`.

    Orbax writes to a temporary folder and renames it, so a killed save leaves the previous
    checkpoint as the newest. A checkpoint that cannot be read back is skipped with a warning.

    Args:
        folder: Where the checkpoints are.
        keep: How many of the newest are kept.
    """

    def __init__(self, folder: Path, *, keep: int):
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.WARNING)  # Orbax narrates every save
        self._args = ocp.args
        self.manager = ocp.CheckpointManager(
            folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, cleanup_tmp_directories=True, create=True
            ),
        )

    def save(self, step: int, state: Any, extra: dict[str, Any]) -> None:
        """Begins to write; the arrays are copied first, so training may go on at once."""
        items = {"state": self._args.StandardSave(state), "extra": self._args.JsonSave(extra)}
        try:
            self.manager.save(step, args=self._args.Composite(**items), force=True)
        except OSError as error:
            raise UserError(
                f"cannot write a checkpoint to {self.manager.directory}: {error.strerror or error}"
            ) from error

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest readable checkpoint as (state, extra), or None if there is none.

        Args:
            like: The state's tree of `jax.ShapeDtypeStruct` with the wanted shardings.

        Raises:
            UserError: There are checkpoints, and none can be read.
        """
        steps = sorted(self.manager.all_steps(), reverse=True)
        args = self._args.Composite(
            state=self._args.StandardRestore(like), extra=self._args.JsonRestore()
        )
        failures = []
        for step in steps:
            try:
                found = self.manager.restore(step, args=args)
                for newer in failures:  # out of the way of the run's own next save of that step
                    self.manager.delete(newer)
                return found["state"], found["extra"]
            except Exception as error:  # whatever a damaged file makes Orbax raise
                failures.append(step)
                logging.warning(
                    "checkpoint %s/%d is damaged (%s); trying the one before it",
                    self.manager.directory, step, str(error).split("\n")[0][:120],
                )  # fmt: skip
        if steps:
            raise UserError(
                f"no checkpoint in {self.manager.directory} can be read for this model; "
                "give another --workdir, or remove that folder to begin again"
            )
        return None

    def close(self) -> None:
        """Waits until what was saved is on disk."""
        try:
            self.manager.wait_until_finished()
        except OSError as error:
            raise UserError(
                f"cannot write a checkpoint to {self.manager.directory}: {error.strerror or error}"
            ) from error
        self.manager.close()


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never half of one."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def read_config(workdir: str | Path) -> dict[str, Any]:
    """The config of a run.

    Raises:
        UserError: There is no run in this folder.
    """
    path = Path(workdir) / "config.json"
    if not path.is_file():
        raise UserError(f"{workdir} holds no run: it has no config.json")
    return json.loads(path.read_text(encoding="utf-8"))


def initialise(*, method: nnx.Module, workdir: str, parts: dict) -> None:
    """Replaces parts of a method by parts of another run's checkpoint.

    Parameters and batch statistics are taken; optimizer state and everything else are not.

    Args:
        method: The method to change.
        workdir: Folder of the run to take from.
        parts: {part here: part there}, as paths of attributes: {"backbone": "encoder/backbone"}.

    Raises:
        UserError: There is no such run or part, or a shape differs; the message names it.
    """
    saved = restore_variables(workdir)
    for here, there in parts.items():
        module = method
        for attribute in here.split("/"):
            if not hasattr(module, attribute):
                raise UserError(f"config key 'init.parts' names {here!r}, which the method lacks")
            module = getattr(module, attribute)
        state = nnx.state(module, nnx.Not(Momentum))
        for path, variable in nnx.to_flat_state(state):
            name = "/".join(map(str, (there, *path)))
            if name not in saved:
                raise UserError(f"the run in {workdir} has no '{name}' for {here!r} to start from")
            if saved[name].shape != variable.shape:
                raise UserError(
                    f"'{name}' has shape {saved[name].shape} in {workdir} and {variable.shape} "
                    "here: the two configs differ"
                )
            variable.set_value(saved[name])
        nnx.update(module, state)


def restore_variables(workdir: str | Path) -> dict[str, jax.Array]:
    """All variables of the run's best or newest checkpoint, {"backbone/stem/kernel": array}."""
    import orbax.checkpoint as ocp

    read_config(workdir)
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
    """The folder of the best checkpoint if validation chose one, else of the newest.

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
