#!/usr/bin/env bash
# Trains the runs of a sweep's plan by GNU parallel, two at a time, and collects them. With --sshlogin it uses other machines, which
# must see the same folders: --workdir . goes to this one there.
#
#     duel sweep --seeds 0..20 --set learning-rate=1e-4,2e-4 --out sweeps/rates --plan-only
#     examples/sweep/parallel.sh sweeps/rates/plan.jsonl
#
# Started again, it goes on with those that are not done.
set -euo pipefail
plan=$1
duel=${DUEL:-duel}
seq 0 $(($(wc -l < "$plan") - 1)) | parallel --quote --jobs 2 "$duel" sweep run "$plan" --index {} --threads 1 > /dev/null
"$duel" sweep collect "$plan"
