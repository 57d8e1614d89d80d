"""What the program is made of: the table in docs/dependencies.md, licences and sources, and whether a build can be made again.

    python3 tests/supply.py            prints what it finds, exit status 1 if something does not hold
    python3 tests/supply.py --write    writes the table anew

1. docs/dependencies.md has every package that the program is built of. Each stands in Cargo.toml with what it is for, or is there
   because another needs it; unsafe code is looked for in the source that cargo has.
2. `cargo deny check bans licenses sources`, of every package of this repository but the peers that it is timed
   against (deny.toml; `cargo install cargo-deny`).
3. The release program, built in another folder, has the same bytes.
"""

import json
import re
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

root = Path(__file__).resolve().parent.parent
TABLE = root / "docs" / "dependencies.md"
FEATURES = ["", "std", "rayon", "run", "cli"]
HEAD = """# What the program is built of

Made by `python3 tests/supply.py --write` from Cargo.toml, Cargo.lock and the sources of the packages; CI compares. A package is
needed from a feature on: `core` is the library without default features. Unsafe code is a number of lines that say `unsafe` outside
of comments and tests; *forbidden* means that its compiler refuses it.

| package | from feature on | what for | unsafe lines |
|---|---|---|---:|
"""


def output(*command, folder=root):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def purposes():
    """The comment beside each dependency in Cargo.toml."""
    text = (root / "Cargo.toml").read_text()
    return dict(re.findall(r"^([\w-]+) = \{? ?\"?.*?# (.*)$", text.split("[dev-dependencies]")[0], re.MULTILINE))


def unsafe_lines(source):
    """How often a package says `unsafe`, or that it cannot."""
    files = [file for file in (source / "src").rglob("*.rs") if not {"tests", "test"} & set(file.relative_to(source).parts)]
    texts = {file: re.sub(r"//.*|/\*.*?\*/", "", file.read_text(errors="replace")) for file in files}
    top = texts.get(source / "src" / "lib.rs", "")
    # What stands under a condition does not forbid it everywhere.
    if re.search(r"^#!\[forbid\([^)]*unsafe_code", top, re.MULTILINE):
        return "forbidden"
    lines = sum(bool(re.search(r"\bunsafe\b(?!_)", line)) and "forbid(" not in line and "deny(" not in line
                for text in texts.values() for line in text.splitlines())
    return str(lines)


def table():
    packages = {(p["name"], p["version"]): Path(p["manifest_path"]).parent
                for p in json.loads(output("cargo", "metadata", "--locked", "--format-version", "1"))["packages"]}
    what, first = purposes(), {}
    for feature in FEATURES:
        tree = output("cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-default-features", "--features", feature,
                      "--target", "x86_64-unknown-linux-gnu")
        for name, version in re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE):
            first.setdefault((name, version), feature or "core")
    first = {key: feature for key, feature in first.items() if key[0] != "duel"}
    versions = {}
    for name, version in first:
        versions.setdefault(name, []).append(version)

    def row(key):
        name, version = key
        shown = f"`{name}`" if len(versions[name]) == 1 else f"`{name}` {version}"
        purpose = f" {what[name]} |" if key in direct else ""
        return f"| {shown} | {first[key]} |{purpose} {unsafe_lines(packages[key])} |\n"

    # The crate that the engine names is the newer one, if there are two.
    direct = [key for key in first if key[0] in what and key[1] == max(versions[key[0]])]
    order = sorted(direct, key=lambda key: list(what).index(key[0]))
    rest = sorted(set(first) - set(direct))
    return (HEAD + "".join(map(row, order)) + f"\n{len(rest)} more are there because these need them:\n\n"
            "| package | from feature on | unsafe lines |\n|---|---|---:|\n" + "".join(map(row, rest)))


def denied():
    wrong = False
    for manifest in output("git", "ls-files", "*Cargo.toml").split():
        # Another library, which ours is timed against.
        if manifest.startswith("benches/peers/"):
            continue
        done = subprocess.run(["cargo", "deny", "--manifest-path", manifest, "--locked", "--config", str(root / "deny.toml"), "check",
                               "bans", "licenses", "sources"], cwd=root, capture_output=True, text=True)
        said = done.stdout + done.stderr
        print(f"{manifest}: {said.strip().splitlines()[-1] if done.returncode == 0 else said}")
        wrong |= done.returncode != 0
    return wrong


def built(folder):
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "duel"], cwd=folder, check=True)
    return sha256((folder / "target" / "release" / "duel").read_bytes()).hexdigest()


def main():
    made = table()
    if sys.argv[1:] == ["--write"]:
        TABLE.write_text(made)
        return
    wrong = TABLE.read_text() != made
    print(f"docs/dependencies.md: {'differs: python3 tests/supply.py --write' if wrong else 'as it is'}")
    wrong |= denied()
    with tempfile.TemporaryDirectory(prefix="another folder of duel ") as folder:
        copy = Path(folder) / "below"
        subprocess.run(["git", "clone", "--quiet", "--shared", str(root), str(copy)], check=True)
        here, there = built(root), built(copy)
    print(f"the program, built here: {here}\n          and elsewhere: {there}")
    sys.exit(wrong or here != there)


main()
