# SPDX-License-Identifier: Apache-2.0
"""Every command is killed and disturbed at random moments, many times, and given again.

    python tests/faults/study.py --kills 1000 --workdir /tmp/faults

goes on where it was stopped when it is given again. `counts.json` in the folder has, for every
command and every kind of fault, how many trials there were, how many processes were killed, and
how many trials ended with anything but the output of an undisturbed run; `wrong.jsonl` says what.
"""

import argparse
import json
import time
from pathlib import Path

import bench
import disturb

from astrojax import files


def main() -> None:
    """Parses the command line, and runs trials until there are enough."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="kill -9 over all commands")
    parser.add_argument("--trials", type=int, default=10, help="of each other kind and command")
    parser.add_argument("--workdir", type=Path, required=True, help="folder of the study")
    parser.add_argument("--kinds", nargs="+", default=list(disturb.KINDS), choices=disturb.KINDS)
    parser.add_argument("--commands", nargs="+", default=list(bench.OUT), choices=bench.OUT)
    asked = parser.parse_args()
    bench.preload()
    asked.workdir.mkdir(parents=True, exist_ok=True)
    made = bench.Bench(asked.workdir / "bench", _with_inputs(asked.commands))
    path = asked.workdir / "counts.json"
    counts = json.loads(path.read_text()) if path.exists() else {}
    began = time.monotonic()
    while todo := _next(asked, counts):
        command, kind = todo
        count = counts.setdefault(command, {}).setdefault(
            kind, {"trials": 0, "kills": 0, "wrong": 0, "seconds": 0.0}
        )
        trial, start = disturb.Trial(made, command, kind, count["trials"]), time.monotonic()
        wrong = trial.run()
        count["trials"] += 1
        count["kills"] += trial.kills
        count["seconds"] = round(count["seconds"] + time.monotonic() - start, 1)
        if wrong:
            count["wrong"] += 1
            with (asked.workdir / "wrong.jsonl").open("a") as file:
                line = {"command": command, "kind": kind, "trial": count["trials"] - 1}
                file.write(json.dumps({**line, "wrong": wrong}) + "\n")
        files.write_json(path, counts)
    print(json.dumps(summary(counts) | {"seconds": round(time.monotonic() - began)}, indent=2))


def _with_inputs(commands: list[str]) -> list[str]:
    """Returns commands, with those before them that they need, in the bench's order."""
    needed = set(commands)
    if needed - {"stamps", "convert"}:
        needed |= {"train", "embed", "export"}
    return [command for command in bench.OUT if command in needed]


def _next(asked: argparse.Namespace, counts: dict) -> tuple[str, str] | None:
    """Returns the command and the kind that are farthest behind; None if all are done."""
    behind = {}
    for command in asked.commands:
        for kind in set(disturb.kinds_of(command)) & set(asked.kinds):
            count = counts.get(command, {}).get(kind, {"trials": 0, "kills": 0})
            wanted = asked.kills / len(asked.commands) if kind == "kill" else asked.trials
            done = count["kills" if kind == "kill" else "trials"] / wanted
            if done < 1:
                behind[done, command, kind] = (command, kind)
    return behind[min(behind)] if behind else None


def summary(counts: dict) -> dict[str, dict[str, int]]:
    """Returns trials, kills and wrong outcomes of each kind, over all commands."""
    found: dict[str, dict[str, int]] = {}
    for kinds in counts.values():
        for kind, count in kinds.items():
            total = found.setdefault(kind, {"trials": 0, "kills": 0, "wrong": 0})
            for name in total:
                total[name] += count[name]
    return found


if __name__ == "__main__":
    main()
