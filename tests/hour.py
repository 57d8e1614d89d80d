"""A new user's hour: the tour of README.md, command by command as it stands there, in an empty folder, with a program that was just
installed.

    python3 tests/hour.py                   prints the time of each command
    python3 tests/hour.py --pictures DIR    trains all 70,000 steps, and keeps README's pictures of it; takes Chromium, and
                                            `pip install -r tests/web-requirements.txt`

Exit status 1 if a command fails, or does not leave what it says.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
# What each command leaves, by its first words.
LEAVES = {
    "duel train --steps": "runs/seed-42/samples/step_00000300.png",
    "duel film": "film.png",
    "duel report": "report.html",
    "duel sample": "samples.png",
    "duel interpolate": "walk.png",
    "duel evaluate": "runs/seed-42/evaluation.json",
    "duel export": "generator.onnx",
    "duel verify": None,
    "duel train --resume": "runs/seed-42/checkpoints/step_00000400.safetensors",
    "duel completions": "duel.bash",
}


def tour():
    """The commands of the block that follows the heading."""
    text = (root / "README.md").read_text()
    block = re.search(r"## A tour\n.*?```sh\n(.*?)```", text, re.DOTALL)
    return [line.split(" #")[0].strip() for line in block[1].splitlines() if line.strip()]


def keep_pictures(folder, pictures):
    from playwright.sync_api import sync_playwright

    shutil.copyfile(folder / "film.png", pictures / "film.png")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto((folder / "report.html").as_uri())
        page.screenshot(path=pictures / "report.png")
        browser.close()


def main():
    pictures = Path(sys.argv[2]).resolve() if sys.argv[1:2] == ["--pictures"] else None
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "data").symlink_to(root / "data")
        prefix = folder / "prefix"
        environment = {**os.environ, "PATH": f"{prefix / 'bin'}:{os.environ['PATH']}"}
        commands = tour()
        assert len(commands) == len(LEAVES) + 1, commands
        began = time.monotonic()
        for command in commands:
            started, where = time.monotonic(), folder
            if command.startswith("cargo install"):
                command, where = f"{command} --quiet --root {prefix} --target-dir {root / 'target'}", root
            elif pictures:
                command = command.replace("--steps 300", "--steps 70000").replace("--steps 400", "--steps 70010")
            done = subprocess.run(["bash", "-c", command], cwd=where, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
            print(f"{time.monotonic() - started:6.1f} s  {command}", flush=True)
            leaves = next((leaves for words, leaves in LEAVES.items() if command.startswith(words)), None)
            if leaves and not pictures and not (folder / leaves).stat().st_size:
                sys.exit(f"{command} left no {leaves}")
        print(f"{time.monotonic() - began:6.1f} s  together")
        if pictures:
            keep_pictures(folder, pictures)


main()
