# SPDX-License-Identifier: Apache-2.0
"""Seconds from `python -m astrojax.main` to the first step: imports, data, compilation.

    python benchmarks/startup.py --experiment pita lejepa
    python benchmarks/startup.py --experiment lejepa --beside ../before

The first of three starts compiles, into a cache of its own; the others find what it compiled.
Printed are the seconds that passed, and those that all cores together worked, which depend less on
the load of the machine. `--beside` starts another checkout in turn.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def start(root: Path, experiment: str, cache: Path, workdir: Path) -> tuple[float, float]:
    """Trains until the first step is logged; returns the seconds that passed and CPU seconds."""
    name, _, variant = experiment.partition(":")
    config = f"experiments/{name}.py" + (f":{variant}" if variant else "")
    command = [sys.executable, "-m", "astrojax.main", "--config", config]
    command += [f"--workdir={workdir}", "--config.log_every=1"]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    began, log = time.perf_counter(), workdir / "metrics.jsonl"
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not (log.exists() and log.stat().st_size):
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(command)} failed: {process.stderr.read().decode()[-500:]}")
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    times = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    return seconds, (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Parses the command line; prints a line of JSON for each start."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiment", nargs="+", required=True, help="e.g. pita or lejepa:smoke")
    parser.add_argument("--beside", type=Path, default=None, help="another checkout to compare")
    parser.add_argument("--starts", type=int, default=3, help="the first compiles")
    given = parser.parse_args()
    roots = [ROOT, *([given.beside.resolve()] if given.beside else [])]
    for experiment in given.experiment:
        with tempfile.TemporaryDirectory() as folder:
            for i in range(given.starts):
                for root in roots if i % 2 == 0 else roots[::-1]:
                    own = Path(folder) / str(roots.index(root))
                    passed, worked = start(root, experiment, own / "cache", own / f"run{i}")
                    line = {"checkout": root.name, "experiment": experiment, "start": i}
                    line |= {"cache": "filled" if i else "empty"}
                    line |= {"seconds": round(passed, 1), "cpu_seconds": round(worked, 1)}
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
