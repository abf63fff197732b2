# SPDX-License-Identifier: BSD-2-Clause
"""Documents as text: JSON or YAML, alone, in a stream, in a list. Everything in a document
begins in a line of its own, and it is known which: the library names lines."""
import json
import re

HOW = ("each", "stream", "list", "array")

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*\Z")
# YAML 1.1 takes these for something else.
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


class Text:
    """A text that is being written. lines: {place in the tree: line}."""

    def __init__(self, yaml):
        self.yaml = yaml
        self.parts = []
        self.line = 1
        self.lines = {}

    def put(self, text):
        self.parts.append(text)
        self.line += text.count("\n")

    def add(self, tree, place=()):
        (self.put_yaml if self.yaml else self.put_json)(tree, place, 0)
        self.put("\n")

    @property
    def text(self):
        return "".join(self.parts)

    # ---- JSON ------------------------------------------------------------------

    def put_json(self, tree, place, depth):
        self.lines[place] = self.line
        if not isinstance(tree, (dict, list)) or not tree:
            self.put(json.dumps(tree))
            return
        ends = "{}" if isinstance(tree, dict) else "[]"
        members = tree.items() if isinstance(tree, dict) else enumerate(tree)
        comma = ends[0]
        for key, value in members:
            self.put(comma + "\n" + " " * (depth + 1))
            if isinstance(tree, dict):
                self.put(json.dumps(key) + ": ")
            self.put_json(value, place + (key,), depth + 1)
            comma = ","
        self.put("\n" + " " * depth + ends[1])

    # ---- YAML ------------------------------------------------------------------

    @staticmethod
    def scalar(value):
        if isinstance(value, str) and PLAIN.match(value) and value.lower() not in WORDS:
            return value
        return json.dumps(value)

    def put_yaml(self, tree, place, depth):
        """Begins where the line stands already, at the indentation of depth."""
        self.lines[place] = self.line
        if not isinstance(tree, (dict, list)) or not tree:
            self.put(self.scalar(tree))
            return
        members = tree.items() if isinstance(tree, dict) else enumerate(tree)
        first = True
        for key, value in members:
            if not first:
                self.put("\n" + "  " * depth)
            first = False
            nested = isinstance(value, (dict, list)) and value
            if isinstance(tree, list):
                self.put("- ")
            else:
                self.put(self.scalar(key) + ":" + ("\n" + "  " * (depth + 1) if nested else " "))
            self.put_yaml(value, place + (key,), depth + 1)


def content(document):
    return document["rules"] if "rules" in document else document


def has_own_name(document):
    """Rules of an array may be named by their label; else whoever reads them says the name."""
    return "rules" not in document or bool(document["rules"][0].get("labels"))


def list_of(documents):
    kinds = {d["kind"] for d in documents}
    head = {"apiVersion": "v1", "kind": "List"}
    if len(kinds) == 1:
        head = {"apiVersion": documents[0]["apiVersion"], "kind": kinds.pop() + "List"}
    return {**head, "metadata": {"resourceVersion": ""},
            "items": [content(d) for d in documents]}


def groups(documents, how):
    """Those that stand in one text."""
    together = [d for d in documents
                if has_own_name(d) and (how == "stream" or "rules" not in d)]
    if how == "each" or len(together) < 2:
        return [[d] for d in documents]
    return [together] + [[d] for d in documents if not any(d is t for t in together)]


def write(documents, how="each", yaml=False):
    """Texts for documents: (text, name for those without one, [(document, {place: line})])."""
    for group in groups(documents, how):
        text = Text(yaml)
        prefixes = [()] * len(group)
        lines = []
        if len(group) > 1 and how in ("list", "array"):
            tree = list_of(group) if how == "list" else [content(d) for d in group]
            prefixes = [("items", i) if how == "list" else (i,) for i in range(len(group))]
            text.add(tree)
            lines = [text.lines] * len(group)
        else:
            for i, document in enumerate(group):
                text.lines = {}
                if i:
                    text.put("---\n")
                text.add(content(document))
                lines.append(text.lines)
        name = None if has_own_name(group[0]) else group[0]["name"]
        yield text.text, name, [
            (d, {place[len(prefix):]: line for place, line in known.items()
                 if place[:len(prefix)] == prefix})
            for d, prefix, known in zip(group, prefixes, lines)]
