#!/usr/bin/env python3
"""Tests of lint.py: each rule must fire on a tree that breaks it, and only then."""
import pathlib
import shutil
import tempfile
import unittest

import lint

HEADER = "// What this is.\n#pragma once\n"
CLEAN = {
    "m/CMakeLists.txt": "add_module(NAME m LAYER 0\n  HDRS a.h\n  SRCS a.cc)\n",
    "m/a.h": HEADER,
    "m/a.cc": "",
    ".clang-format": "DisableFormat: true\n",
}


class LintTest(unittest.TestCase):
    def findings(self, files, allowed=None):
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**CLEAN, **files}.items():
                path = pathlib.Path(root, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return [(f.rule, f.path, f.line) for f in lint.lint(root, allowed or {})]

    def test_clean_tree_has_no_findings(self):
        self.assertEqual(self.findings({}), [])

    def test_banned_calls_are_found_with_their_line(self):
        for rule, code in {
            "parent-include": '#include "../m/a.h"',
            "real-clock": "auto t = std::chrono::system_clock::now();",
            "sleep": "std::this_thread::sleep_for(t);",
            "global-random": "int x = rand();",
        }.items():
            self.assertIn((rule, "m/a.cc", 2), self.findings({"m/a.cc": "\n" + code + "\n"}))

    def test_comments_may_speak_of_banned_calls_but_code_beside_digit_separators_is_seen(self):
        self.assertEqual(self.findings({"m/a.cc": "// never call rand() here\n"}), [])
        text = "int x = 1'000;  // it's\nint y = rand();  // 2'000\n"
        self.assertEqual(self.findings({"m/a.cc": text}), [("global-random", "m/a.cc", 2)])

    def test_a_slash_in_a_string_starts_no_comment(self):
        text = 'const char* u = "ws://x"; int y = rand();\n'
        self.assertEqual(self.findings({"m/a.cc": text}), [("global-random", "m/a.cc", 1)])

    def test_header_without_pragma_once(self):
        self.assertIn(("pragma-once", "m/a.h", 1), self.findings({"m/a.h": "// Banner.\nint x;\n"}))

    def test_source_that_no_target_names(self):
        self.assertEqual(self.findings({"m/b.cc": ""}), [("unlisted", "m/b.cc", 1)])

    def test_leftover_note(self):
        self.assertEqual(self.findings({"m/a.cc": "// TO" "DO later\n"}), [("leftover-note", "m/a.cc", 1)])

    def test_public_header_whose_first_type_is_undocumented(self):
        text = "#pragma once\n\nclass F;\n\nclass A {};\n"
        self.assertEqual(self.findings({"m/a.h": text}), [("undocumented-header", "m/a.h", 5)])
        documented = "#pragma once\n\nclass F;\n\n/// An A.\ntemplate <typename T>\nclass A {};\n"
        self.assertEqual(self.findings({"m/a.h": documented}), [])

    def test_module_that_the_documents_do_not_mention(self):
        self.assertEqual(self.findings({"README.md": "Nothing.\n"}), [("unmentioned-module", "m", 1)])
        self.assertEqual(self.findings({"README.md": "The code is in `m/`.\n"}), [])

    def test_documents_name_tests_that_there_are(self):
        tests = {"m/a.cc": "TEST(ATest, One) {}\nTEST_F(ATest,\n       Two) {}\nTEST_P(BTest, Three) {}\n"}
        good = "`ATest.One`, `Two`, `BTest.*`: not `ATest`, `x.Y`, `a/b.cc` or `ATest.One...`, a `Type`\n"
        self.assertEqual(self.findings({"docs/d.md": good, **tests}), [])
        for bad in "`ATest.Three`", "`ATest.One`, `Three`", "`BTest.*`, `One`", "`CTest.*`":
            self.assertEqual(self.findings({"docs/d.md": "\n" + bad, **tests}), [("unknown-test", "docs/d.md", 2)])
        self.assertEqual(self.findings({"CHANGELOG.md": "`ATest.Past`"}), [])

    @unittest.skipUnless(shutil.which("clang-format"), "clang-format is not installed")
    def test_format(self):
        style = {".clang-format": "BasedOnStyle: Google\n"}
        self.assertEqual(self.findings({"m/a.cc": "int x;\nint  y;\n", **style}), [("format", "m/a.cc", 2)])
        self.assertEqual(self.findings({"m/a.cc": "int x;\nint y;\n", **style}), [])

    def test_exception_silences_a_finding_and_is_an_error_once_unused(self):
        allowed = {("global-random", "m/a.cc"): "why"}
        self.assertEqual(self.findings({"m/a.cc": "int x = rand();\n"}, allowed), [])
        self.assertEqual(self.findings({}, allowed), [("unused-exception", "m/a.cc", 1)])


if __name__ == "__main__":
    unittest.main()
