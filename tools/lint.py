#!/usr/bin/env python3
"""Rules that the compiler cannot check. Run from anywhere: tools/lint.py; exits 1 if any is broken.

Each rule is a function of the source tree that yields Findings. Exceptions stand in ALLOWED with their
reason, and an exception that nothing needs any more is an error too, so the list can only shrink.
"""
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys

# (rule, path) -> why this file may.
ALLOWED = {
    ("real-clock", "base/clock.cc"): "the one place that reads the machine's clocks",
}

BANNED = {
    "parent-include": (re.compile(r'#\s*include\s*["<][^">]*\.\./'), "include from the repository root"),
    "real-clock": (
        re.compile(r"\b(system_clock\b|(steady_clock|high_resolution_clock)\s*::\s*now\b)"),
        "take a base::Clock or a `now` instead",
    ),
    "sleep": (re.compile(r"\b(sleep_for|sleep_until|u?sleep|nanosleep)\s*\("), "wait for an event, with a deadline"),
    "global-random": (re.compile(r"\b(s?rand\s*\(|random_device\b)"), "take a base::Random instead"),
}
LEFTOVER_NOTE = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")

CPP = {".cc", ".h"}
TEXT = CPP | {".proto", ".py", ".sh", ".cmake", ".txt", ".sql", ".js", ".css", ".html", ".yaml", ".yml"}

# Raw strings, strings and characters (kept), then comments (dropped). An apostrophe after a digit or a
# letter separates digits.
TOKEN = re.compile(
    r'(R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\')'
    r"|//[^\n]*|/\*.*?\*/",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Finding:
    rule: str
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text} [{self.rule}]"


class Tree:
    """The text files of the project, without what is built or hidden."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.texts = {}
        for path in sorted(self.root.rglob("*")):
            rel = path.relative_to(self.root)
            if rel.parts[0] == "build" or any(part.startswith(".") for part in rel.parts):
                continue
            if path.suffix in TEXT | {".md"} and path.is_file():
                self.texts[rel.as_posix()] = path.read_text(encoding="utf-8")

    def files(self, suffixes):
        return [(path, text) for path, text in self.texts.items() if pathlib.Path(path).suffix in suffixes]

    def cmake_lists(self):
        """Folder ("" for the root) and text, comments removed, of every CMakeLists.txt."""
        for path, text in self.texts.items():
            if pathlib.Path(path).name == "CMakeLists.txt":
                folder = pathlib.Path(path).parent.as_posix()
                yield "" if folder == "." else folder + "/", re.sub(r"#[^\n]*", "", text)

    def modules(self):
        """Top-level folders that are built."""
        folders = {folder.split("/")[0] for folder, _ in self.cmake_lists()}
        return sorted(folders - {""})


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def without_comments(text):
    """`text` with comments blanked out; lines stay where they are."""
    return TOKEN.sub(lambda m: m[0] if m[1] else re.sub(r"[^\n]", " ", m[0]), text)


def banned_calls(tree):
    for path, text in tree.files(CPP):
        code = without_comments(text)
        for rule, (pattern, advice) in BANNED.items():
            for match in pattern.finditer(code):
                yield Finding(rule, path, line_of(code, match.start()), f"`{match[0].strip()}`: {advice}")


def pragma_once(tree):
    for path, text in tree.files({".h"}):
        if not without_comments(text).lstrip().startswith("#pragma once"):
            yield Finding("pragma-once", path, 1, "`#pragma once` must come first, after comments at most")


def unlisted_sources(tree):
    """A file that no target names is not compiled, and a header not staged: dead or an oversight."""
    listed = set()
    for folder, text in tree.cmake_lists():
        listed |= {folder + name for name in re.findall(r"[\w./-]+\.(?:cc|h)\b", text)}
    modules = tree.modules()
    for path, _ in tree.files(CPP):
        if path.split("/")[0] in modules and path not in listed:
            yield Finding("unlisted", path, 1, "no CMakeLists.txt names this file")


def leftover_notes(tree):
    for path, text in tree.files(TEXT):
        for match in LEFTOVER_NOTE.finditer(text):
            yield Finding("leftover-note", path, line_of(text, match.start()), f"`{match[0]}`: do it or drop it")


def public_headers(tree):
    for folder, text in tree.cmake_lists():
        for call in re.findall(r"\badd_module\s*\((.*?)\)", text, re.DOTALL):
            headers = re.search(r"\bHDRS\b(.*?)(?=\b[A-Z_]{4,}\b|$)", call, re.DOTALL)
            for name in re.findall(r"[\w./-]+\.h\b", headers[1]) if headers else []:
                if folder + name in tree.texts:
                    yield folder + name


def undocumented_headers(tree):
    definition = re.compile(r"^(?:class|struct|enum)\b[^;\n]*(?:\{|:|\n)", re.MULTILINE)
    for path in public_headers(tree):
        text = tree.texts[path]
        if text.lstrip().startswith(("//", "/*")):
            continue
        first = definition.search(text)
        if not first:
            if "///" not in text:
                yield Finding("undocumented-header", path, 1, "says nowhere what it is for")
            continue
        before = [line for line in text[: first.start()].rstrip().split("\n") if not line.startswith("template")]
        if not before[-1].lstrip().startswith("//"):
            yield Finding("undocumented-header", path, line_of(text, first.start()), "first type has no doc comment")


def unmentioned_modules(tree):
    documents = [tree.texts[path] for path in ("README.md", "docs/architecture.md") if path in tree.texts]
    if not documents:
        return
    for module in tree.modules():
        if not any(re.search(rf"(?<![\w/.-]){re.escape(module)}(/|`)", text) for text in documents):
            yield Finding("unmentioned-module", module, 1, "neither README.md nor docs/architecture.md mentions it")


def unknown_tests(tree):
    """Documents name tests as `Suite.Name` or `Suite.*`, and after it more of that suite as `Name`."""
    define = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)")
    tests = {f"{suite}.{name}" for _, text in tree.files({".cc"}) for suite, name in define.findall(text)}
    tests |= {test.split(".")[0] + ".*" for test in tests}
    for path, text in tree.files({".md"}):
        if path == "CHANGELOG.md":  # of its time
            continue
        for named in re.finditer(r"`([A-Z]\w*)\.(\*|[A-Z]\w*)`((?:, `[A-Z]\w*`)*)", text):
            for name in [named[2], *re.findall(r"\w+", named[3])]:
                if f"{named[1]}.{name}" not in tests:
                    yield Finding("unknown-test", path, line_of(text, named.start()), f"no test {named[1]}.{name}")


def formatting(tree):
    files = [path for path, text in tree.files(CPP) if text]
    if not files or not shutil.which("clang-format"):
        return
    command = ["clang-format", "--dry-run", "-Werror", "-ferror-limit=1", *files]
    result = subprocess.run(command, cwd=tree.root, capture_output=True, text=True, check=False)
    for path, line in re.findall(r"^(\S+?):(\d+):\d+: error:", result.stderr, re.MULTILINE):
        yield Finding("format", path, int(line), "run clang-format -i")


RULES = [
    banned_calls,
    pragma_once,
    unlisted_sources,
    leftover_notes,
    undocumented_headers,
    unmentioned_modules,
    unknown_tests,
    formatting,
]


def lint(root, allowed):
    tree = Tree(root)
    findings = [finding for rule in RULES for finding in rule(tree)]
    needed = {(finding.rule, finding.path) for finding in findings}
    kept = [finding for finding in findings if (finding.rule, finding.path) not in allowed]
    for rule, path in sorted(allowed.keys() - needed):
        kept.append(Finding("unused-exception", path, 1, f"no longer needs to be allowed `{rule}`: remove the entry"))
    return kept


def main():
    findings = lint(pathlib.Path(__file__).resolve().parent.parent, ALLOWED)
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} finding(s)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
