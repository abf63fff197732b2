# SPDX-License-Identifier: BSD-2-Clause
"""A reader of Prometheus' text format, version 0.0.4, strict: what a writer must not do is an
error. As a program: exposition.py FILE NAME [LABEL=VALUE]... prints the value of a sample."""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)?\}})? (\S+)")
ESCAPES = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}


class FormatError(Exception):
    """The text is not in the format."""


def unescape(text):
    return re.sub(r'\\[\\n"]', lambda m: ESCAPES[m[0]], text)


class Exposition:
    """helps and types by name; samples by (name, ((label, value), ...))."""

    def __init__(self, text):
        self.helps, self.types, self.samples = {}, {}, {}
        self.done = set()  # names whose lines are over
        self.current = None
        if text and not text.endswith("\n"):
            raise FormatError("the last line does not end")
        for number, line in enumerate(text.split("\n")[:-1], 1):
            try:
                self.read(line)
            except FormatError as e:
                raise FormatError(f"line {number}: {e}: {line}") from None
        for name in self.types:
            if not any(sample == name for sample, _ in self.samples):
                raise FormatError(f"{name} has a type and no sample")

    def enter(self, name):
        if name == self.current:
            return
        if name in self.done:
            raise FormatError(f"lines of {name} do not stand together")
        if self.current is not None:
            self.done.add(self.current)
        self.current = name

    def read(self, line):
        comment = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.*)", line)
        if comment:
            self.comment(*comment.groups())
        else:
            self.sample(line)

    def comment(self, kind, name, rest):
        into = self.helps if kind == "HELP" else self.types
        self.enter(name)
        if name in into:
            raise FormatError(f"a second {kind}")
        if any(sample == name for sample, _ in self.samples):
            raise FormatError(f"{kind} after a sample")
        if kind == "TYPE" and rest not in ("counter", "gauge", "histogram", "summary", "untyped"):
            raise FormatError("no such type")
        if kind == "HELP" and re.search(r"\\(?![\\n])", rest):
            raise FormatError("a bad escape")
        into[name] = rest

    def sample(self, line):
        match = SAMPLE.fullmatch(line)
        if not match:
            raise FormatError("not a sample")
        name, labels, value = match[1], match[2], match[match.lastindex]
        labels = tuple(sorted((k, unescape(v)) for k, v in re.findall(LABEL, labels or "")))
        self.enter(name)
        if len({k for k, _ in labels}) != len(labels):
            raise FormatError("a label twice")
        if name not in self.types or name not in self.helps:
            raise FormatError("a sample before its HELP and TYPE")
        if (name, labels) in self.samples:
            raise FormatError("a sample twice")
        if not re.fullmatch(r"NaN|[+-]Inf|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", value):
            raise FormatError("not a number")
        self.samples[name, labels] = float(value)

    def value(self, name, **labels):
        """The value of one sample, None if it is not there."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def sum(self, name, **labels):
        """Of all samples of a name that have these labels, and perhaps others."""
        return sum(value for (n, found), value in self.samples.items()
                   if n == name and set(labels.items()) <= set(found))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as f:
        found = Exposition(f.read()).value(
            sys.argv[2], **dict(argument.split("=", 1) for argument in sys.argv[3:]))
    print("none" if found is None else f"{found:.15g}")
