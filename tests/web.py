"""The page in headless Chromium, from a server and from a file, wide and as on a phone; and the engine in it, in node.

    python3 tests/web.py RUN|STATE.safetensors [FOLDER]

The run is of `duel train --preset labelled`. Screenshots are left in the folder, if one is given. Takes Chromium, node, what
web/build.py takes, and `pip install -r tests/web-requirements.txt`.
"""

import functools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root / "web"))
import build  # noqa: E402

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
MOST_BYTES = 300_000


def expect(what, is_so, seen=""):
    if not is_so:
        sys.exit(f"NOT SO: {what} {seen}")
    print(f"{what}: so {seen}".rstrip(), flush=True)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def serve(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/index.html"


def engine():
    """The kernels as WebAssembly: every one as published, and the emulated fma as the definition."""
    node = shutil.which("node") or sys.exit("node is not installed")
    wasm = build.build_wasm("verify")
    run = "const { instance: { exports: x } } = await WebAssembly.instantiate((await import('node:fs')).readFileSync(process.argv[1]));" \
        "process.exitCode = x.verify();" \
        "console.log(new TextDecoder().decode(new Uint8Array(x.memory.buffer, x.result(), x.result_len())));"
    done = subprocess.run([node, "--input-type=module", "-e", run, str(wasm)], capture_output=True, text=True)
    expect("kernels and emulated fma in node", done.returncode == 0, done.stdout.strip() + done.stderr)


def pixels(page):
    """The large digit's."""
    return page.evaluate("""() => { const c = document.getElementById('digit');
        return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0); }""")


def duel(*arguments):
    subprocess.run(["cargo", "run", "--locked", "--quiet", "--release", "--", *map(str, arguments)], cwd=root, check=True,
                   capture_output=True)


@functools.cache
def sampled(state, cls, scratch):
    """The first four samples of seed 42, of a class or None, as the program makes them."""
    count, out = 4, scratch / f"{state.stem}-{cls}-ubyte"
    duel("sample", state, "--seed", 42, "--count", count, *(["--class", cls] if cls is not None else []), "--out", out)
    data = out.read_bytes()[16:]
    return [list(data[i * len(data) // count:(i + 1) * len(data) // count]) for i in range(count)]


def opened(browser, address, **options):
    """A page, with what went wrong in it."""
    page = browser.new_context(**options).new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_function("window.duel || document.getElementById('failure').textContent", timeout=60_000)
    return page, problems


def train(page, until):
    """Trains to a step with a digest, and returns its row."""
    page.click("#run")
    page.wait_for_selector(f"#digests tr[data-step='{until}']", timeout=300_000)
    cells = page.locator(f"#digests tr[data-step='{until}'] td")
    return [cells.nth(i).get_attribute("title") for i in range(4)]


def fits(page, name):
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    expect(f"{name}: nothing is wider than the screen", wider <= 0)


def check(browser, dist, state, scratch, shots):
    task = json.loads((dist / "training.json").read_text())
    digests, last = task["digests"], str(task["steps"])
    first = min(digests, key=int)
    address = serve(dist)

    page, problems = opened(browser, address, viewport={"width": 1280, "height": 900})
    buttons = page.locator("#classes button")
    for cls in range(buttons.count()):
        buttons.nth(cls).click()
        corners = []
        for corner in [(0, 0), (1, 0), (0, 1), (1, 1)]:
            page.evaluate("([x, y]) => window.duel.space.go(x, y)", list(corner))
            corners.append(pixels(page))
        expect(f"class {cls}: the corners are the first four of `duel sample --seed 42`", corners == sampled(state, cls, scratch))
    buttons.nth(3).click()
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 1)
    at_corner = pixels(page)
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)
    moved = pixels(page)
    expect("the mouse moves through the space", at_corner == sampled(state, 3, scratch)[0] and moved != at_corner)
    page.keyboard.press("Tab")
    page.focus("#map")
    page.keyboard.press("ArrowRight")
    expect("so do the arrow keys", pixels(page) != moved)

    row = train(page, last)
    rate = float(page.locator("#progress").get_attribute("data-rate"))
    expect(f"step {row[0]}: the command line's digest", row[1] == row[2] == digests[last], f"{row[1]}, at {rate:.0f} steps/s")
    same = page.locator("#digests .same").count()
    expect("and at every step before", same == len(digests) == page.locator("#digests tr").count(), f"{same} digests")
    fits(page, "wide")
    page.screenshot(path=shots / "wide.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.evaluate("window.duel.training.show()")
    page.screenshot(path=shots / "dark.png", full_page=True)
    page.click("#again")
    expect("from the start: the same digest again", train(page, first)[1] == digests[first])
    duel("train", "--seed", 3, "--steps", 20, "--out", scratch / "run")
    own = build.checkpoint(scratch / "run")
    page.set_input_files("#file", str(own))
    page.wait_for_function("name => document.getElementById('about').textContent.includes(name)", arg=own.name)
    page.evaluate("window.duel.space.go(0, 1)")
    expect("a checkpoint of the visitor's, without classes", pixels(page) == sampled(own, None, scratch)[2] and buttons.count() == 0)
    page.set_input_files("#file", {"name": "no.safetensors", "mimeType": "", "buffer": b"\0" * 64})
    page.wait_for_function("document.getElementById('failure').textContent")
    expect("what is none is said", "not a checkpoint" in page.locator("#failure").inner_text())
    expect("no errors in the console", not problems, " ".join(problems))

    page, problems = opened(browser, (dist / "index.html").as_uri(), **PHONE)
    before = pixels(page)
    box = page.locator("#map").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9)
    expect("from a file, on a phone: a finger moves through the space", pixels(page) != before)
    expect("and the digest is the command line's", train(page, first)[1] == digests[first])
    page.click("#run")
    fits(page, "phone")
    page.screenshot(path=shots / "phone.png", full_page=True)
    expect("no errors in the console", not problems, " ".join(problems))


def main():
    state = build.checkpoint(Path(sys.argv[1])).resolve()
    with tempfile.TemporaryDirectory() as folder:
        dist, scratch = Path(folder) / "dist", Path(folder)
        shots = Path(sys.argv[2]) if len(sys.argv) > 2 else scratch
        shots.mkdir(parents=True, exist_ok=True)
        build.build(state, dist)
        size = (dist / "duel.wasm").stat().st_size
        expect(f"duel.wasm has less than {MOST_BYTES:,} bytes", size < MOST_BYTES, f"{size:,}")
        engine()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            check(browser, dist, state, scratch, shots)
            browser.close()


main()
