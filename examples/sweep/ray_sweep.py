"""Trains the runs of a sweep's plan on a Ray cluster, by the Python package, and prints their digests.

    pip install ./python ray
    duel sweep --seeds 0..20 --set learning-rate=1e-4,2e-4 --out sweeps/rates --plan-only
    python examples/sweep/ray_sweep.py sweeps/rates/plan.jsonl data

Each run is a task of one core; the data are read once on each machine, from the same path. `ray.init()` starts a cluster of this
machine's cores, or joins the one that RAY_ADDRESS names.
"""

import json
import sys

import ray

# What a run's folder is about, and not its bits.
FOLDER = {"data", "report-every", "checkpoint-every", "keep-last", "digest-at"}


@ray.remote(num_cpus=1)
def train(member, data):
    import duel  # where the task runs

    settings = {name.replace("-", "_"): text for name, text in member["settings"].items() if name not in FOLDER}
    steps, seed = int(settings.pop("steps", 70_000)), int(settings.pop("seed", 42))
    labels = settings.pop("labels", "false") == "true"
    try:
        trainer = duel.train(data, seed=seed, steps=steps, labels=labels or None, threads=1, **settings)
    except duel.DivergedError as error:
        return f"{member['run']}: diverged: {error}"
    return f"{member['run']}: done, {steps:,} steps {trainer.digest()}"


plan, data = sys.argv[1:]
ray.init(log_to_driver=False)
with open(plan) as lines:
    tasks = [train.remote(json.loads(line), data) for line in lines]
for line in ray.get(tasks):
    print(line, flush=True)
