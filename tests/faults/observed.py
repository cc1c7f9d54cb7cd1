# SPDX-License-Identifier: Apache-2.0
"""`python -m astrojax.main` that writes down which examples it reads.

    python tests/faults/observed.py IDS BLOCK_AT --config ...

IDS gets one line of JSON for each batch; the batch of step BLOCK_AT, where not 0, never comes.
"""

import json
import sys
import threading
from pathlib import Path

from astrojax.cli import train
from astrojax.data import batching


def observe(path: Path, block_at: int) -> None:
    """Wraps the source of batches."""
    real = batching.local_batches

    def recorded(source, *, columns, start, **keys):
        batches = real(source, columns=(*columns, "id"), start=start, **keys)
        for step, batch in enumerate(batches, start + 1):
            if step == block_at:
                threading.Event().wait()
            line = {"start": start, "step": step, "ids": batch.pop("id").tolist()}
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            yield batch

    batching.local_batches = recorded


if __name__ == "__main__":
    sys.modules["torch"] = None  # tensorboardX would import it: 2 s for nothing
    observe(Path(sys.argv.pop(1)), int(sys.argv.pop(1)))
    train.main()
