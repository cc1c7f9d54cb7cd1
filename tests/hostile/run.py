# SPDX-License-Identifier: Apache-2.0
"""Opens every hostile file as a user would, and counts what got out.

    python tests/hostile/run.py --seeds 4 --out /tmp/hostile

Each file is opened by the real readers and commands in another process, whose audit hook reports
programs that are started, connections, files that are opened outside of the case's folder and are
not opened for valid files too, and modules imported from there. `inotify` watches the folder that
files lead to, for what libraries in C open, and `ran` is what any code would have left behind.
"""

import argparse
import collections
import contextlib
import ctypes
import json
import multiprocessing
import os
import re
import struct
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import make_hostile
import openers

BATCH = 40  # cases of a process, which a crash ends
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.chmod", "os.truncate", "os.symlink", "os.link")


class Watch:
    """What is opened, changed or made in a folder, by anybody (Linux's inotify)."""

    def __init__(self, folder: Path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK)
        opened, modified, created, deleted, moved = 0x20, 0x2, 0x100, 0x200, 0xC0
        self.is_folder = 0x40000000  # this program lists it
        mask = opened | modified | created | deleted | moved
        if libc.inotify_add_watch(self.descriptor, os.fsencode(folder), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot watch", str(folder))

    def events(self) -> int:
        """Returns how often a file in it was touched since the last call."""
        data, count = b"", 0
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptor, 1 << 20)
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            count += not mask & self.is_folder
            data = data[16 + length :]
        return count


def _real(path: str, *, link_itself: bool) -> str:
    """Returns where a path leads; a link that is removed or renamed is not followed."""
    if not link_itself:
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


class Audit:
    """Python's audit events of one case."""

    def __init__(self) -> None:
        self.on, self.folder, self.usual, self.found = False, "", set[str](), list[str]()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "socket.connect" and arguments[1][1:2] == tuple(openers.HUB):
            return
        if event.startswith((*STARTS, "socket.connect")) and arguments[0] != "lscpu":
            # joblib counts the cores with lscpu, whatever the data.
            self.found.append(f"{event} {arguments!r}"[:300])
        elif event in ("open", *CHANGES):
            path = arguments[0]
            if isinstance(path, bytes | str | os.PathLike):
                where = _real(os.fsdecode(path), link_itself=event in CHANGES)
                if not where.startswith(self.folder + os.sep) and where != self.folder:
                    self.found.append(f"{event} {where}")
        elif event == "import":
            origin = str(arguments[1] or "")
            if arguments[0].split(".")[0] in ("evil", "antigravity") or self.folder in origin:
                self.found.append(f"import {arguments[0]}")

    def escapes(self) -> list[str]:
        """Returns what was seen that valid files do not do too."""
        return [text for text in self.found if _kind(text) not in self.usual]


def _kind(text: str) -> str:
    """An event without what differs from one process or case to the next."""
    return re.sub(r"\d+|[0-9a-f]{8,}|tmp\w+", "#", text)


def work(root: Path, cases: list[make_hostile.Case], pipe: Any) -> None:
    """Opens cases in this process; sends one result after another."""
    warnings.simplefilter("ignore")
    audit, wrong = Audit(), set(sys.path)
    trusted = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), "/proc/", "/sys/")
    trusted += ("/dev/null", "/usr/", "/etc/localtime", "/etc/os-release")
    for case in cases:
        folder = root / case.name
        os.chdir(folder)  # where a relative name would be found
        sys.path[:] = [*(p for p in sys.path if p in wrong), str(folder)]
        audit.folder, audit.found = os.path.realpath(folder), []
        audit.on = True
        result, text = openers.outcome(case.opener, folder / case.target)
        audit.on = False
        escapes = [e for e in audit.escapes() if not _trusted(e, trusted)]
        pipe.send((case.name, result, text, escapes))
    pipe.close()


def _trusted(event: str, places: tuple[str, ...]) -> bool:
    """Whether a file of Python, of this project or of the system was read."""
    kind, _, path = event.partition(" ")
    scratch = (tempfile.gettempdir(), str(Path.home() / ".cache"), str(Path.home() / ".config"))
    if kind != "open" and kind not in CHANGES:
        return False
    if "hostile" in path and not path.startswith(places):
        return False
    return path.startswith(places + scratch) or path.isdigit()


def run(root: Path, cases: list[make_hostile.Case]) -> list[dict[str, Any]]:
    """Returns a record of each case."""
    watch = Watch(root / "outside")
    context = multiprocessing.get_context("spawn")
    left, records = list(cases), []
    while left:
        ours, theirs = context.Pipe(duplex=False)
        batch = left[:BATCH]
        process = context.Process(target=work, args=(root, batch, theirs))
        process.start()
        theirs.close()
        done = 0
        while done < len(batch):
            if not ours.poll(120):
                process.kill()
            try:
                name, result, text, escapes = ours.recv()
            except EOFError:
                name, result, escapes = batch[done].name, "crash", []
                text = f"exit status {process.exitcode}"
            case = batch[done]
            assert name == case.name
            touched = watch.events()
            ran = [str(p) for p in root.glob(f"{case.name}/**/*ran")]
            ran += [str(p) for p in (root / "outside").glob("*ran")]
            records.append(
                {"case": case.name, "opener": case.opener, "result": result, "text": text}
                | {"wanted": case.sentence, "escapes": escapes, "touched": touched, "ran": ran}
            )
            done += 1
            if result == "crash":
                break
        left = left[done:]
        process.join()
    return records


def failed(record: dict[str, Any]) -> str:
    """Returns what is wrong with a case; "" for nothing."""
    if record["ran"] or record["escapes"] or record["touched"]:
        return f"got out: {record['ran']} {record['escapes']} touched={record['touched']}"
    if record["result"] in ("traceback", "crash"):
        return f"{record['result']}: {record['text']}"
    wanted = record["wanted"]
    if wanted is None and record["result"] != "opens":
        return f"does not open: {record['text']}"
    if wanted and not (record["result"] == "sentence" and wanted in record["text"]):
        return f"wanted {wanted!r}, got {record['result']} {record['text'][:300]}"
    if "\n" in record["text"]:
        return f"more than a line: {record['text'][:300]!r}"
    return ""


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the counts."""
    results = collections.Counter(r["result"] for r in records)
    return {
        "inputs": len(records),
        "code_run": sum(bool(r["ran"]) for r in records),
        "started_or_opened_outside": sum(bool(r["escapes"]) for r in records),
        "files_outside_touched": sum(bool(r["touched"]) for r in records),
        "one_sentence": results["sentence"],
        "opens": results["opens"],
        "tracebacks": results["traceback"],
        "crashes": results["crash"],
        "unexpected": sum(bool(failed(r)) for r in records),
    }


def main() -> None:
    """Parses the command line, runs, and prints counts and failures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=4, help="variants of each random damage")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    options = parser.parse_args()
    root = options.out.resolve()
    cases = [c for c in make_hostile.make(root, options.seeds) if options.only in c.name]
    records = run(root, cases)
    (root / "records.json").write_text(json.dumps(records, indent=1))
    for record in records:
        if failed(record):
            print(f"{record['case']}: {failed(record)[:400]}")
    print(json.dumps(summary(records), indent=2))


if __name__ == "__main__":
    main()
