#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compare what the oracle says of a packet with the kernel's verdict, the compiled policy and
the explanation: the corpus first, then random worlds. A case is a packet; in a world there are
endpoints, documents and settings, which change several times. Needs root, the built library
($BUILD or $CILIUM_LITE_LIBRARY) and iproute2."""
import argparse
import glob
import hashlib
import itertools
import json
import os
import sys
import time
from multiprocessing.connection import wait

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import generate  # noqa: E402
import shrink  # noqa: E402

CORPUS = os.path.join(HERE, "corpus")
BINDINGS = os.path.join(HERE, "..", "..", "bindings", "python")
LONG = 1000000


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seed", help="of the random cases; default: another one each time")
    p.add_argument("--cases", type=int, default=10000, help="packets at least (%(default)s)")
    p.add_argument("--long", action="store_true",
                   help=f"{LONG} packets: about an hour; see --state")
    p.add_argument("--state", metavar="FILE",
                   help="keep in a file how far it came, and go on from there the next time")
    p.add_argument("--world", type=int, help="only this world of the seed")
    p.add_argument("--phases", type=int, default=4, help="states of a world, one after the other (%(default)s)")
    p.add_argument("--probes", type=int, default=20, help="packets in each phase (%(default)s)")
    p.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    p.add_argument("--failures", type=int, default=3, help="end after so many (%(default)s)")
    p.add_argument("--shrink", type=float, default=60, metavar="SECONDS",
                   help="spend at most on making a failure small (%(default)s)")
    p.add_argument("--no-save", action="store_true", help="do not add failures to the corpus")
    p.add_argument("--file", action="append", help="replay this case only; may be repeated")
    p.add_argument("--library", help="libcilium-lite.so")
    args = p.parse_args()
    if args.long:
        args.cases = LONG
    return args


def find_library(given):
    if given or os.environ.get("CILIUM_LITE_LIBRARY"):
        return given or os.environ["CILIUM_LITE_LIBRARY"]
    build = os.environ.get("BUILD")
    if not build:
        sys.exit("set BUILD to meson's build directory, or CILIUM_LITE_LIBRARY")
    found = sorted(glob.glob(os.path.join(build, "src", "libcilium-lite.so"))
                   or glob.glob(os.path.join(build, "**", "libcilium-lite.so"), recursive=True))
    if not found:
        sys.exit(f"there is no libcilium-lite.so below {build}")
    return found[0]


def pretty(tree, indent=""):
    """JSON, with what fits into a line in a line."""
    line = json.dumps(tree)
    if len(indent) + len(line) < 96 or not isinstance(tree, (dict, list)):
        return line
    deeper = indent + " "
    if isinstance(tree, list):
        parts, ends = [pretty(v, deeper) for v in tree], "[]"
    else:
        parts, ends = [f"{json.dumps(k)}: {pretty(v, deeper)}" for k, v in tree.items()], "{}"
    return ends[0] + f",\n{deeper}".join(["\n" + deeper + parts[0]] + parts[1:]) \
        + f"\n{indent}{ends[1]}"


def describe(failure, where):
    place = "".join(f", {k} {failure[k]}" for k in ("phase", "probe") if k in failure)
    return f"{where}{place}: {failure['kind']}: {failure['why']}"


class Progress:
    """How far a run came. Worlds have numbers: all below next are done, and those in beyond."""

    KEPT = ("seed", "phases", "probes", "features", "next", "beyond", "packets", "worlds", "seconds")

    def __init__(self, args, features):
        self.path = args.state
        self.seed, self.phases, self.probes = args.seed, args.phases, args.probes
        self.features = features
        self.next, self.beyond = args.world or 0, []
        self.packets = self.worlds = 0
        self.seconds = 0.0
        if self.path and os.path.exists(self.path):
            self.load()
        self.seed = self.seed or os.urandom(6).hex()
        self.begin = time.monotonic() - self.seconds

    def load(self):
        with open(self.path, encoding="utf-8") as f:
            kept = json.load(f)
        for key, given in (("seed", self.seed), ("features", self.features)):
            if given and kept[key] != given:
                sys.exit(f"{self.path} is of a run with {key} {kept[key]}, not {given}")
        for key in self.KEPT:
            setattr(self, key, kept[key])
        print(f"goes on after {self.packets} packets in {self.worlds} worlds")

    def save(self):
        self.seconds = time.monotonic() - self.begin
        if not self.path:
            return
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump({key: getattr(self, key) for key in self.KEPT}, f)
        os.replace(self.path + ".new", self.path)

    def done(self, number, packets):
        self.packets += packets
        self.worlds += 1
        self.beyond.append(number)
        while self.next in self.beyond:
            self.beyond.remove(self.next)
            self.next += 1

    def line(self, cases):
        rate = self.packets / max(time.monotonic() - self.begin, 1e-9)
        left = max(cases - self.packets, 0) / rate if rate else 0
        return f"  {self.packets} packets, {self.worlds} worlds, {rate:.0f}/s, " \
            f"{left / 60:.1f} min left"


class Runner:
    def __init__(self, args):
        from worker import Worker  # loads the library

        self.args = args
        self.workers = [Worker() for _ in range(args.jobs)]
        self.features = self.probe_features()
        self.failures = 0
        self.progress = Progress(args, self.features)

    def stop(self):
        for w in self.workers:
            w.stop()

    def probe_features(self):
        """What the library can do is drawn; what it cannot is told."""
        missing = dict(self.workers[0].missing(generate.FEATURES))
        for feature, why in missing.items():
            print(f"skip feature '{feature}' is not drawn: not supported: {why}")
        return [f for f in generate.FEATURES if f not in missing]

    # ---- corpus ----------------------------------------------------------------

    def replay(self, path):
        with open(path, encoding="utf-8") as f:
            entry = json.load(f)
        name = os.path.splitext(os.path.basename(path))[0]
        worker = self.workers[0]
        worker.post({"case": entry["case"]})
        result = worker.result()
        if result["failure"]:
            self.failures += 1
            print("not ok corpus: " + describe(result["failure"], name))
        else:
            print(f"ok corpus: {name}: {result['packets']} packets")

    # ---- random cases ------------------------------------------------------------

    def report(self, result):
        job, failure = result["job"], result["failure"]
        self.failures += 1
        number = job["seed"].rpartition(":")[2]
        print("not ok " + describe(failure, f"seed {self.progress.seed}, world {number}"))
        print(f"  again: run.py --seed {self.progress.seed} --world {number}"
              f" --phases {job['phases']} --probes {job['probes']}", flush=True)
        case = generate.case(job["seed"], job["phases"], job["probes"], job["features"])
        worker = self.workers[0]
        again = worker.run(case)
        if not again:
            print("  it does not happen again with the same case")
            return
        shrinker = shrink.Shrinker(worker.run, again, self.args.shrink)
        if self.args.shrink > 0 and failure["kind"] != "test":
            case = shrinker.run(case, again)
            failure = worker.run(case) or failure
        print(f"  after {shrinker.tries} tries to make it smaller: {failure['why']}")
        print(pretty(case))
        if not self.args.no_save:
            self.save(case, failure)

    def save(self, case, failure):
        text = pretty({"about": describe(failure, f"found with seed {self.progress.seed}"),
                       "case": case}) + "\n"
        digest = hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()[:12]
        os.makedirs(CORPUS, exist_ok=True)
        path = os.path.join(CORPUS, f"found-{digest}.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        print(f"  saved as {path}")

    def numbers(self):
        """Of the worlds to try."""
        if self.args.world is not None:
            return iter([self.args.world])
        done = set(self.progress.beyond)
        return (n for n in itertools.count(self.progress.next) if n not in done)

    def post(self, worker, number):
        p = self.progress
        worker.post({"seed": f"{p.seed}:{number}", "number": number, "phases": p.phases,
                     "probes": p.probes, "features": p.features})

    def wanted(self, busy):
        """Is another world needed, beside those that are being tried?"""
        p = self.progress
        return p.packets + busy * p.phases * p.probes < self.args.cases

    def try_worlds(self, failed):
        """Until there are enough packets, or failures."""
        numbers, idle, busy = self.numbers(), list(self.workers), {}
        told = time.monotonic()
        while True:
            while idle and self.wanted(len(busy)) and len(failed) < self.args.failures:
                number = next(numbers, None)
                if number is None:
                    break
                worker = idle.pop()
                self.post(worker, number)
                busy[worker.pipe] = worker
            if not busy:
                return
            for pipe in wait(list(busy), 120) or list(busy)[:1]:
                worker = busy.pop(pipe)
                result = worker.result(1)
                idle.append(worker)
                if result["failure"]:
                    failed.append(result)
                else:
                    self.progress.done(result["job"]["number"], result["packets"])
            if time.monotonic() - told > 20:
                told = time.monotonic()
                self.progress.save()
                print(self.progress.line(self.args.cases), flush=True)

    def random(self):
        p, failed = self.progress, []
        print(f"seed {p.seed}", flush=True)
        try:
            self.try_worlds(failed)
        finally:
            p.save()
        for result in failed[:self.args.failures]:
            self.report(result)
        if len(failed) > self.args.failures:
            print(f"  and {len(failed) - self.args.failures} more failed")
        print(f"{'not ok' if failed else 'ok'} {p.packets} packets in {p.worlds} worlds, "
              f"{p.worlds * p.phases} policy states: {p.seconds:.1f} s, "
              f"{p.packets / p.seconds:.0f} packets/s")


def main():
    args = arguments()
    if os.geteuid() != 0:
        print("skip: the programs can only be run as root")
        return 77
    os.environ["CILIUM_LITE_LIBRARY"] = find_library(args.library)
    sys.path.insert(1, BINDINGS)
    runner = Runner(args)
    try:
        if args.world is None:
            for path in args.file or sorted(glob.glob(os.path.join(CORPUS, "*.json"))):
                runner.replay(path)
        if not args.file:
            runner.random()
    except KeyboardInterrupt:
        print(f"interrupted, seed {runner.progress.seed}"
              + (f": the same command goes on with it ({args.state})" if args.state else ""))
        return 130
    finally:
        runner.stop()
    return 1 if runner.failures else 0


if __name__ == "__main__":
    sys.exit(main())
