#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Turn what a test printed into one line for people and counts for run.sh.

    report.py COUNTS text NAME STATUS FILE    output of a script or program
    report.py COUNTS unittest NAME STATUS FILE
    report.py COUNTS meson PREFIX STATUS TESTLOG.JSON

Appends "passed failed skipped" and "skip NAME: reason" lines to COUNTS.

A test may count for itself. What it prints is looked at for
  "ok ..." / "not ok ..." at the beginning of a line     one test each
  "skip: reason"                                         one that did not run
  "100%: Checks: 3, Failures: 0, Errors: 0"              Check's summary
otherwise the whole program is one test. Exit status 77 without any of these is a
skip, for the reason on its last line. Any other status but 0 is a failure,
whatever was counted.
"""
import json
import re
import sys

TAIL = 60
CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.M)


class Result:
    def __init__(self):
        self.passed = self.failed = 0
        self.skips = []


def count_text(text, status):
    r = Result()
    for checks, failures, errors in CHECK.findall(text):
        bad = int(failures) + int(errors)
        r.failed += bad
        r.passed += int(checks) - bad
    r.passed += len(re.findall(r"^ok\b", text, re.M))
    r.failed += len(re.findall(r"^not ok\b", text, re.M))
    r.skips = re.findall(r"^skip: *(.*)$", text, re.M)
    if status == 77 and not (r.passed or r.failed or r.skips):
        lines = text.strip().splitlines()
        r.skips = [lines[-1] if lines else "no reason given"]
    elif status not in (0, 77) and not r.failed:
        r.failed = 1
    elif not (r.passed or r.failed or r.skips):
        r.passed = 1
    return r


def count_unittest(text, status):
    r = Result()
    r.skips = re.findall(r"\.\.\. skipped ['\"](.*)['\"]$", text, re.M)
    ran = re.search(r"^Ran (\d+) tests? in ", text, re.M)
    r.failed = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", text))
    if ran:
        r.passed = max(0, int(ran[1]) - r.failed - len(r.skips))
    if (status or not ran or ran[1] == "0") and not r.failed:
        r.failed = 1
    return r


def failures(lines):
    """The lines of tests that failed, with what is told below them."""
    failing = False
    for line in lines:
        failing = line.startswith("not ok") or (failing and line[:1].isspace())
        if failing:
            yield line


def report(counts, name, r, text):
    word = "FAIL" if r.failed else "ok" if r.passed else "skip"
    print(f"{word:4}  {name}: {r.passed} passed"
          + (f", {r.failed} failed" if r.failed else "")
          + (f", {len(r.skips)} skipped" if r.skips else ""))
    for reason in r.skips:
        print(f"      skipped: {reason}")
    if r.failed:
        lines = text.rstrip().splitlines()
        if len(lines) > TAIL:
            print(f"      [... {len(lines) - TAIL} lines before; of these:]")
            for line in failures(lines[:-TAIL]):
                print("      | " + line)
        for line in lines[-TAIL:]:
            print("      | " + line)
    with open(counts, "a", encoding="utf-8") as f:
        f.write(f"{r.passed} {r.failed} {len(r.skips)}\n")
        f.writelines(f"skip {name}: {reason}\n" for reason in r.skips)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def main():
    counts, kind, name, status, path = sys.argv[1:]
    if kind == "meson":
        for line in read(path).splitlines():
            t = json.loads(line)
            text = t.get("stdout", "") + t.get("stderr", "")
            result = count_text(text, 1 if t["result"] in ("TIMEOUT", "ERROR", "FAIL")
                                else t["returncode"])
            # "libcilium-lite:unit / policy"
            report(counts, f"{name}{t['name'].split(':')[-1].replace(' / ', '/')}", result,
                   f"{t['result']}, status {t['returncode']}\n{text}")
        return
    text = read(path)
    count = count_unittest if kind == "unittest" else count_text
    report(counts, name, count(text, int(status)), f"{text}\n[status {status}]")


main()
