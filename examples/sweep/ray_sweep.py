"""Trains the runs of a sweep's plan on a Ray cluster, by the Python package, and prints their digests.

    pip install ./python ray
    duel sweep --seeds 0..20 --set learning-rate=1e-4,2e-4 --out sweeps/rates --plan-only
    python examples/sweep/ray_sweep.py sweeps/rates/plan.jsonl

Each run is a task of one core, which reads the data where the plan says, from here, and returns its digest; no folder is written.
`ray.init()` starts a cluster of this machine's cores, or joins the one that RAY_ADDRESS names.
"""

import json
import os
import sys

import ray

# What a run's folder is about, and not its bits.
FOLDER = {"report-every", "checkpoint-every", "keep-last", "digest-at"}


@ray.remote(num_cpus=1)
def train(member, here):
    import duel  # where the task runs

    settings = {name.replace("-", "_"): text for name, text in member["settings"].items() if name not in FOLDER}
    steps, seed = int(settings.pop("steps", 70_000)), int(settings.pop("seed", 42))
    labels, data = settings.pop("labels", "false") == "true", os.path.join(here, settings.pop("data", "data"))
    try:
        trainer = duel.train(data, seed=seed, steps=steps, labels=labels or None, threads=1, **settings)
    except duel.DivergedError as error:
        return f"{member['run']}: diverged: {error}"
    return f"{member['run']}: done, {steps:,} steps {trainer.digest()}"


(plan,) = sys.argv[1:]
ray.init(log_to_driver=False)
with open(plan) as lines:
    tasks = [train.remote(json.loads(line), os.getcwd()) for line in lines]
for line in ray.get(tasks):
    print(line, flush=True)
