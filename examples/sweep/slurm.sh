#!/usr/bin/env bash
# Trains the runs of a sweep's plan as a Slurm array: a task for each line, on a file system that all nodes share.
#
#     duel sweep --seeds 0..20 --set learning-rate=1e-4,2e-4 --out sweeps/rates --plan-only
#     sbatch --array=0-39 examples/sweep/slurm.sh sweeps/rates/plan.jsonl
#     duel sweep collect sweeps/rates
#
# A task that is cancelled or runs out of time has saved its run after a step; the same line submitted again goes on with it.
#SBATCH --job-name=duel
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --signal=B:TERM@30
#SBATCH --output=%x-%A_%a.txt
set -euo pipefail
exec "${DUEL:-duel}" sweep run "$1" --index "$SLURM_ARRAY_TASK_ID" --threads "${SLURM_CPUS_PER_TASK:-1}"
