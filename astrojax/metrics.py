# SPDX-License-Identifier: Apache-2.0
"""What a run writes about itself: terminal, JSONL and TensorBoard; and the health of embeddings."""

import json
import os
from pathlib import Path

import jax.numpy as jnp
from jaxtyping import Array, Float

from astrojax.errors import UserError


class Writer:
    """Writes scalars of a step to `metrics.jsonl` and to TensorBoard.

    Args:
        workdir: The run's folder.
        from_step: Steps at or after this one, left by a killed run, are removed first, so that a
            resumed run's log equals that of an undisturbed one.
    """

    def __init__(self, workdir: Path, *, from_step: int):
        self.path = workdir / "metrics.jsonl"
        kept = [r for r in read(workdir) if r["step"] <= from_step]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")
        os.replace(temporary, self.path)
        self.file = self.path.open("a", encoding="utf-8")
        try:
            from tensorboardX import SummaryWriter

            self.board = SummaryWriter(str(workdir / "tensorboard"), purge_step=from_step + 1)
        except ImportError:  # a machine with jax alone still trains
            self.board = None

    def write(self, step: int, values: dict[str, float]) -> None:
        """Records the values of a step."""
        try:
            self.file.write(json.dumps({"step": step, **values}) + "\n")
            self.file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes everything to disk."""
        self.file.close()
        if self.board is not None:
            self.board.close()


def read(workdir: Path) -> list[dict[str, float]]:
    """The records of `metrics.jsonl`; a last line cut short by a kill is left out."""
    path = Path(workdir) / "metrics.jsonl"
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def health(embeddings: Float[Array, "n d"]) -> dict[str, Float[Array, ""]]:
    """Signs of a collapsed representation.

    Returns:
        `feature_std`: standard deviation over examples of each L2-normalised feature, averaged
            and times sqrt(d): near 1 for isotropic embeddings, 0 when all are equal.
        `effective_rank`: RankMe, exp of the entropy of the normalised singular values of the
            centred embeddings (Garrido et al. 2023), at most min(n, d).
    """
    x = embeddings.astype(jnp.float32)
    unit = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    spread = jnp.std(unit, axis=0).mean() * jnp.sqrt(x.shape[-1])
    values = jnp.linalg.svd(x - x.mean(0), compute_uv=False)
    p = values / jnp.maximum(values.sum(), 1e-12) + 1e-7
    return {"feature_std": spread, "effective_rank": jnp.exp(-jnp.sum(p * jnp.log(p)))}
