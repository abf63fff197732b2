# SPDX-License-Identifier: BSD-2-Clause
"""Make a failing case small: leave out whatever can be left out while it fails alike."""
import copy
import re
import time

KEPT = {"name", "via", "flow", "protocol", "source", "destination", "sport", "port", "type",
        "endpointSelector", "metadata", "apiVersion", "kind", "phases", "address", "backends",
        "service", "rules"}
WHOLE = {"host"}  # says how the machine is


def paths(tree, path=()):
    """Every list element and every optional member, large ones first."""
    if isinstance(tree, dict):
        for key in list(tree):
            if key in WHOLE:
                continue
            if key not in KEPT and not (key in ("endpoints", "documents", "probes")
                                        and isinstance(tree[key], list)):
                yield path + (key,)
            yield from paths(tree[key], path + (key,))
    elif isinstance(tree, list):
        for i in reversed(range(len(tree))):
            yield path + (i,)
        for i in reversed(range(len(tree))):
            yield from paths(tree[i], path + (i,))


def without(tree, path):
    tree = copy.deepcopy(tree)
    node = tree
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    return tree


def exists(tree, path):
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


class Shrinker:
    """fails(case): the failure, or None."""

    def __init__(self, fails, failure, seconds):
        self.fails = fails
        self.like = self.kind(failure)
        self.end = time.monotonic() + seconds
        self.tries = 0

    @staticmethod
    def kind(failure):
        if not failure:
            return None
        if failure["kind"] == "call":  # another call that fails alike is another fault
            return "call", re.sub(r"'[^']*'|\W*\d+\W*", "", failure["why"])
        return (failure["kind"], failure["expected"] if failure["kind"] != "rule" else None,
                failure["got"])

    def still(self, case):
        self.tries += 1
        return self.kind(self.fails(case)) == self.like

    def halves(self, case, at):
        """Leave out parts of one long list: half, quarters, ..."""
        size = len(self.get(case, at))
        step = max(1, size // 2)
        while step >= 1:
            i = 0
            while i < len(self.get(case, at)) and time.monotonic() < self.end:
                smaller = copy.deepcopy(case)
                del self.get(smaller, at)[i:i + step]
                if self.still(smaller):
                    case = smaller
                else:
                    i += step
            step //= 2
        return case

    @staticmethod
    def get(tree, path):
        for step in path:
            tree = tree[step]
        return tree

    def outline(self, case, failure):
        """Most of a case is other phases and probes."""
        if "phase" in failure:
            cut = {"phases": copy.deepcopy(case["phases"][:failure["phase"] + 1])}
            if "probe" in failure:
                del cut["phases"][-1]["probes"][failure["probe"] + 1:]
            if self.still(cut):
                case = cut
            alone = {"phases": [copy.deepcopy(case["phases"][-1])]}
            if "probe" in failure:
                alone["phases"][0]["probes"] = alone["phases"][0]["probes"][-1:]
            if len(case["phases"]) and self.still(alone):
                return alone
        case = self.halves(case, ("phases",))
        for i in range(len(case["phases"])):
            case = self.halves(case, ("phases", i, "probes"))
        return case

    def run(self, case, failure):
        case = self.outline(case, failure)
        for i in range(len(case["phases"])):
            for key in ("documents", "endpoints"):
                case = self.halves(case, ("phases", i, key))
        changed = True
        while changed and time.monotonic() < self.end:
            changed = False
            for path in list(paths(case)):
                if time.monotonic() >= self.end:
                    break
                if not exists(case, path):
                    continue
                smaller = without(case, path)
                if self.still(smaller):
                    case, changed = smaller, True
        return case
