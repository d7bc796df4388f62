"""Checks three promises of ARCHITECTURE.md that the compiler cannot: exits 1 and names each place that breaks one.

1. oxio-core knows no Python: pyo3 is nowhere in its dependency tree.
2. `unsafe` stands only where ARCHITECTURE.md says it may.
3. In crates/oxio-py/src a folder uses only those above it in ARCHITECTURE.md's table, the block fenced as ```layers:
   one folder or file a line, the lowest first; what follows a name is a comment. lib.rs, which lists all, is exempt.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "ARCHITECTURE.md"
BINDINGS = ROOT / "crates/oxio-py/src"

UNSAFE_FOLDERS = ("crates/oxio-core/src/sys", "crates/oxio-py/src/interop")
# File → why it cannot be in one of the folders. Empty is how it should stay.
UNSAFE_FILES: dict[str, str] = {}

# Longest first: in Rust a comment may contain a quote, a string may contain `//`, and a lifetime looks like half a char.
NOT_CODE = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | b?c?r(?P<hashes>\#*)".*?"(?P=hashes)
    | [bc]?"(?:\\.|[^"\\])*"
    | b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^\\'\n])'
    """,
    re.VERBOSE | re.DOTALL,
)
UNSAFE = re.compile(r"\bunsafe\b|\b(?:allow|expect)\s*\(\s*unsafe_code\b")
CRATE_PATH = re.compile(r"(?<![\w$])crate\s*::\s*(?P<rest>\{|\w+\s*!?)")
SUPER_PATH = re.compile(r"(?<![\w$])(?:self\s*::\s*)?(?P<supers>(?:super\s*::\s*)+)(?P<rest>\{|\w+\s*!?)")


def main() -> int:
    problems = [*core_dependencies(), *unsafe_elsewhere(), *upward_uses()]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def core_dependencies():
    command = ["cargo", "tree", "--package", "oxio-core", "--edges", "all"]
    command += ["--prefix", "none", "--format", "{p}"]
    done = subprocess.run(
        command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        yield f"cargo tree fails: {done.stderr.strip()}"
    names = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    for name in sorted(names):
        if name.startswith("pyo3"):
            yield f"crates/oxio-core/Cargo.toml: oxio-core must know no Python, but depends on {name}"


def unsafe_elsewhere():
    for file in sorted(ROOT.glob("crates/*/**/*.rs")):
        path = file.relative_to(ROOT).as_posix()
        if path in UNSAFE_FILES or path.startswith(tuple(f"{folder}/" for folder in UNSAFE_FOLDERS)):
            continue
        code = code_of(file)
        for match in UNSAFE.finditer(code):
            yield f"{path}:{line_of(code, match.start())}: unsafe outside {' and '.join(UNSAFE_FOLDERS)}"
    for path in UNSAFE_FILES:
        if not (ROOT / path).exists():
            yield f"{path}: is allowed unsafe by check_layers.py but does not exist: remove the line"


def upward_uses():
    if not TABLE.exists():
        yield f"{TABLE.name}: is missing, so the order of the layers cannot be checked"
        return
    layers = read_table(TABLE.read_text())
    if not layers:
        yield f"{TABLE.name}: has no block fenced as ```layers"
        return
    present = {entry.stem for entry in BINDINGS.iterdir() if entry.is_dir() or entry.suffix == ".rs"}
    present.discard("lib")
    for name in sorted(present - set(layers)):
        yield f"{BINDINGS.relative_to(ROOT)}/{name}: is not in the table of layers in {TABLE.name}"
    for name in layers:
        if name not in present:
            yield f"{TABLE.name}: the table of layers names {name}, which does not exist"
    for file in sorted(BINDINGS.rglob("*.rs")):
        path = file.relative_to(BINDINGS)
        layer = path.parts[0].removesuffix(".rs")
        if layer not in layers:
            continue
        code = code_of(file)
        for position, name in used_layers(code, module_depth(path)):
            where = f"{file.relative_to(ROOT)}:{line_of(code, position)}"
            if name not in layers:
                yield f"{where}: `crate::{name}` is no layer of {TABLE.name}; what all may use belongs into the lowest"
            elif layers.index(name) > layers.index(layer):
                yield f"{where}: {layer} is below {name} and must not use it"


def read_table(text: str) -> list[str]:
    block = re.search(r"^```layers\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if block is None:
        return []
    lines = [line.split()[0] for line in block[1].splitlines() if line.strip()]
    return [line.rstrip("/").removesuffix(".rs") for line in lines]


def module_depth(path: pathlib.PurePath) -> int:
    """How many `super::` lead from this file's module to the crate: 1 for `task.rs` and `task/mod.rs`."""
    return len(path.parts) - (path.name == "mod.rs")


def used_layers(code: str, depth: int):
    """Yields (position, name) of every first-level module that `code` names, by `crate::` or by enough `super::`."""
    for match in CRATE_PATH.finditer(code):
        for name in names_after(code, match):
            yield match.start(), name
    for match in SUPER_PATH.finditer(code):
        # A `mod tests` inside the file is one level deeper; what it names by `super::` is its own file's.
        if match["supers"].count("super") == depth + inner_modules(code, match.start()):
            for name in names_after(code, match):
                if name.islower():
                    yield match.start(), name


def names_after(code: str, match: re.Match) -> list[str]:
    """The names at the first level after `crate::`: one, or those of a `{…}` group. Macros live in no module."""
    rest = match["rest"].rstrip()
    if rest != "{":
        return [] if rest.endswith("!") else [rest]
    names = []
    level = 1
    position = match.end()
    fresh = True
    while level and position < len(code):
        token = re.compile(r"\w+|[{},]|[^\w{},]").match(code, position)
        assert token is not None
        text = token[0]
        position = token.end()
        level += (text == "{") - (text == "}")
        if level == 1 and text == ",":
            fresh = True
        elif fresh and level == 1 and re.fullmatch(r"\w+", text):
            names.append(text)
            fresh = False
    return [name for name in names if name != "self"]


def inner_modules(code: str, position: int) -> int:
    """How many `mod x { … }` of this file enclose `position`."""
    depth = 0
    for module in re.finditer(r"\bmod\s+\w+\s*\{", code[:position]):
        between = code[module.end() : position]
        level = 1
        for brace in re.finditer(r"[{}]", between):
            level += 1 if brace[0] == "{" else -1
            if level == 0:
                break
        depth += level > 0
    return depth


def code_of(file: pathlib.Path) -> str:
    """The file without comments and literals; line breaks stay, so that line numbers hold."""
    return NOT_CODE.sub(lambda match: "\n" * match[0].count("\n") or " ", file.read_text())


def line_of(code: str, position: int) -> int:
    return code.count("\n", 0, position) + 1


if __name__ == "__main__":
    sys.exit(main())
