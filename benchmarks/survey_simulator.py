# SPDX-License-Identifier: Apache-2.0
"""Stamps per second of the embedded survey, and how long its first call takes.

Run `python benchmarks/survey_simulator.py --survey candels --stamp 72 --count 4096`. On two cores
of a 2.5 GHz Xeon (AVX-512) shared with other jobs (load 6): best 1250, median 930 stamps/s of
72 x 72 x 4; the fastest single chunk of 32 ran at 2500.
"""

import argparse
import time

import jax

from astrojax.simulate.survey.mock import named, simulate


def main() -> None:
    """Print device, time of the first call (compilation), and best and median of five passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--survey", default="candels")
    parser.add_argument("--stamp", type=int)
    parser.add_argument("--count", type=int, default=4096)
    options = parser.parse_args()
    survey = named(options.survey)
    stamp = options.stamp or survey.stamp

    def seconds(count: int, **kwargs) -> float:
        start = time.perf_counter()
        simulate(0, range(count), survey=survey, stamp=stamp, **kwargs)
        return time.perf_counter() - start

    print(f"{jax.devices()[0].device_kind}: {survey.name}, {stamp} px, {len(survey.bands)} bands")
    print(f"first call, with compilation: {seconds(1):.1f} s")
    for label, images in (("stamps", True), ("catalogue entries", False)):
        passes = sorted(seconds(options.count, images=images) for _ in range(5))
        best, median = options.count / passes[0], options.count / passes[2]
        print(f"{label}/s: best {best:.0f}, median {median:.0f}")


if __name__ == "__main__":
    main()
