#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All that is to be measured on an accelerator, in one command of at most 40 minutes:
#
#     bash benchmarks/accelerator_day.sh --out day [--minutes 40] [--smoke] [--list] [--only TASK]
#
# Throughput of each `:paper` step, the same steps in PyTorch where it is installed, the simulators,
# the embedding of a million stamps, and as much of two trainings as fits: Self-Classifier on
# CIFAR-10 (CIFAR10=FOLDER with train.npz and test.npz) and LeJEPA (GALAXY10=FILE; without it on
# simulated galaxies). Started again with the same --out it leaves out what is done, and trains on.
# --smoke is the same on tiny sizes, for a CPU; --list prints the commands only.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

out="" minutes=40 smoke="" list="" only=""
while [ $# -gt 0 ]; do
    case "$1" in
        --out) out="$2"; shift 2 ;;
        --minutes) minutes="$2"; shift 2 ;;
        --only) only="$2"; shift 2 ;;
        --smoke) smoke=1; shift ;;
        --list) list=1; shift ;;
        *) echo "$0: no flag $1: see the top of the file" >&2; exit 2 ;;
    esac
done
if [ -z "$out" ] && [ -z "$list" ]; then
    echo "$0: --out says where results go" >&2
    exit 2
fi
[ -n "$list" ] || mkdir -p "$out" || exit 2
end=$(($(date +%s) + minutes * 60)) failed=0

# task NAME SECONDS COMMAND...: runs it for at most so long; leaves it out if it is done.
task() {
    local name="$1" limit="$2" left
    shift 2
    if [ -n "$only" ] && [ "$only" != "$name" ]; then return; fi
    if [ -n "$list" ]; then echo "$name: $*"; return; fi
    if [ -e "$out/$name.done" ]; then echo "$name: done before"; return; fi
    left=$((end - $(date +%s)))
    if [ "$left" -lt 20 ]; then echo "$name: no time left, start again with the same --out"; return; fi
    [ "$left" -lt "$limit" ] && limit="$left"
    timeout --kill-after=30 "$limit" "$@" >"$out/$name.log" 2>"$out/$name.err"
    case $? in
        0) touch "$out/$name.done"; echo "$name: done"; tail -n 20 "$out/$name.log" ;;
        124) echo "$name: not done in $limit s; start again with the same --out to go on" ;;
        *) failed=1; echo "$name: failed, see $out/$name.err"; tail -n 3 "$out/$name.err" ;;
    esac
}

# step EXPERIMENT VARIANT BATCH SIDE BANDS: a step of astrojax, then that of PyTorch.
step() {
    local sizes=(--batch "$3" --stamp "$4" --bands "$5") variant="$2" few=(--batch "$3")
    if [ -n "$smoke" ]; then
        sizes=(--batch 8 --stamp 40 --bands "$5" --repeats 2) variant=smoke few=(--batch 2 --repeats 1)
    fi
    task "step_$1" 150 python benchmarks/throughput.py --method "$1" --variant "$variant" \
        --dtype bfloat16 "${sizes[@]}"
    task "torch_$1" 120 python benchmarks/torch_steps.py --experiment "$1" "${few[@]}"
}

# training NAME SECONDS CONFIG FLAGS...: resumes from its last checkpoint.
training() {
    local name="$1" limit="$2" config="$3"
    shift 3
    task "train_$name" "$limit" python -m astrojax.main --config "experiments/$config" \
        --workdir "$out/$name" "$@"
}

step pita paper 1024 108 4
step lejepa paper 256 256 3
step ijepa paper 256 256 3
step self_classifier cifar10 256 32 3
if [ -n "$smoke" ]; then
    task survey 300 python benchmarks/survey_simulator.py --stamp 24 --count 32
    task lenses 300 python benchmarks/lens_simulator.py --batch 2 --repeats 1 --only astrojax
    task embed 300 python benchmarks/embed_memory.py --counts 2000
    training self_classifier 300 self_classifier.py:smoke
    training lejepa 300 lejepa.py:smoke
else
    task survey 120 python benchmarks/survey_simulator.py --survey candels --stamp 72 --count 65536
    task lenses 120 python benchmarks/lens_simulator.py --batch 4096 --only astrojax
    task embed 420 python benchmarks/embed_memory.py --counts 1000000
    if [ -n "${CIFAR10:-}" ]; then
        training self_classifier 780 self_classifier.py:cifar10 \
            "--config.data.path.train=$CIFAR10/train.npz" "--config.data.path.test=$CIFAR10/test.npz"
    fi
    if [ -n "${GALAXY10:-}" ]; then
        training lejepa 780 lejepa.py:paper "--config.data.path=$GALAXY10"
    else
        training lejepa 780 lejepa.py
    fi
fi
exit "$failed"
