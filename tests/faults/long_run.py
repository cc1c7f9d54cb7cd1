# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at random moments, many times, beside one that is not.

    python tests/faults/long_run.py --kills 20 --out /tmp/kills

Prints how many steps were lost beyond the last checkpoint, how many examples were skipped or seen
twice, how many checkpoints could not be read, and how far the final weights are from those of the
undisturbed run.
"""

import argparse
import json
import time
from pathlib import Path

import harness
import numpy as np
import tiny


def main() -> None:
    """Parses the command line, runs and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=100.0, help="of six steps each")
    parser.add_argument("--ahead", type=int, default=30, help="steps to a kill at most")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = arguments.out / "tiny.h5"
    tiny.write_data(data)
    epochs = f"--config.epochs={arguments.epochs}"
    undisturbed = harness.Harness(arguments.out / "undisturbed", data, epochs)
    harness.finish(undisturbed.start())
    run = harness.Harness(arguments.out / "killed", data, epochs)
    rng, began = np.random.default_rng(arguments.seed), time.monotonic()
    kills = [run.kill(rng, arguments.ahead) for _ in range(arguments.kills)]
    harness.finish(run.start())
    print(json.dumps(summary(run, undisturbed, kills, time.monotonic() - began), indent=2))


def summary(
    run: harness.Harness,
    undisturbed: harness.Harness,
    kills: list[harness.Kill],
    seconds: float,
) -> dict[str, float]:
    """The numbers of the study."""
    ours, theirs = run.trained(), undisturbed.trained()
    epochs = np.concatenate(ours)
    epochs = epochs[: len(epochs) // 96 * 96].reshape(-1, 96)
    complete = {0, *(k.checkpoint for k in kills)}
    return {
        "kills": len(kills),
        "kills_before_a_first_batch": len(kills) + 1 - len(run.starts()),
        "steps": len(ours),
        "starts_from_an_older_checkpoint": sum(s not in complete for s in run.starts()),
        "steps_repeated_at_most": max(k.logged - k.checkpoint for k in kills),
        "batches_that_differ": sum(a != b for a, b in zip(ours, theirs, strict=True)),
        "epochs_with_an_example_skipped_or_doubled": sum(len(set(e)) != 96 for e in epochs),
        "unreadable_checkpoints": len(list(run.workdir.glob("damaged_*"))),
        "largest_difference_of_weights": harness.largest_difference(
            run.workdir, undisturbed.workdir
        ),
        "log_records_that_differ": sum(
            a != b
            for a, b in zip(
                harness.history(run.workdir), harness.history(undisturbed.workdir), strict=True
            )
        ),
        "seconds": round(seconds),
    }


if __name__ == "__main__":
    main()
