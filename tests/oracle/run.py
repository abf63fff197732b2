#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compare the datapath's verdicts with the oracle's: the corpus first, then random cases.
Needs root, the built library ($BUILD or $CILIUM_LITE_LIBRARY) and iproute2."""
import argparse
import glob
import hashlib
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
    p.add_argument("--long", action="store_true", help=f"{LONG} packets")
    p.add_argument("--world", type=int, help="only this world of the seed")
    p.add_argument("--phases", type=int, default=4, help="policy changes in a world (%(default)s)")
    p.add_argument("--probes", type=int, default=64, help="packets after each (%(default)s)")
    p.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    p.add_argument("--failures", type=int, default=3, help="end after so many (%(default)s)")
    p.add_argument("--shrink", type=float, default=60, metavar="SECONDS",
                   help="spend at most on making a failure small (%(default)s)")
    p.add_argument("--no-save", action="store_true", help="do not add failures to the corpus")
    p.add_argument("--file", action="append", help="replay this case only; may be repeated")
    p.add_argument("--library", help="libcilium-lite.so")
    args = p.parse_args()
    args.seed = args.seed or os.urandom(6).hex()
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


class Runner:
    def __init__(self, args):
        from worker import Worker  # loads the library

        self.args = args
        self.workers = [Worker() for _ in range(args.jobs)]
        self.failures = 0
        self.packets = 0
        self.worlds = 0

    def stop(self):
        for w in self.workers:
            w.stop()

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
        print("not ok " + describe(failure, f"seed {self.args.seed}, world {number}"))
        print(f"  again: run.py --seed {self.args.seed} --world {number}"
              f" --phases {job['phases']} --probes {job['probes']}", flush=True)
        case = generate.case(job["seed"], job["phases"], job["probes"])
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
        text = pretty({"about": describe(failure, f"found with seed {self.args.seed}"),
                       "case": case}) + "\n"
        digest = hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()[:12]
        path = os.path.join(CORPUS, f"found-{digest}.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        print(f"  saved as {path}")

    def random(self):
        args = self.args
        number = args.world or 0
        last = None if args.world is None else args.world
        begin = told = time.monotonic()
        idle, busy, failed = list(self.workers), {}, []
        print(f"seed {args.seed}", flush=True)
        while True:
            posted = self.packets + len(busy) * args.phases * args.probes
            while idle and posted < args.cases and (last is None or number <= last):
                w = idle.pop()
                w.post({"seed": f"{args.seed}:{number}", "phases": args.phases,
                        "probes": args.probes})
                busy[w.pipe] = w
                number += 1
                posted += args.phases * args.probes
            if not busy:
                break
            ready = wait(list(busy), 120) or list(busy)[:1]
            for pipe in ready:
                w = busy.pop(pipe)
                result = w.result(1)
                self.packets += result["packets"]
                self.worlds += 1
                if result["failure"]:
                    failed.append(result)
                else:
                    idle.append(w)
                    continue
                idle.append(w)
            if len(failed) >= args.failures:
                last = number - 1
            if time.monotonic() - told > 20:
                told = time.monotonic()
                print(f"  {self.packets} packets, {self.worlds} worlds, "
                      f"{self.packets / (told - begin):.0f}/s", flush=True)
        seconds = time.monotonic() - begin
        for result in failed[:args.failures]:
            self.report(result)
        if len(failed) > args.failures:
            print(f"  and {len(failed) - args.failures} more failed")
        print(f"{'not ok' if failed else 'ok'} {self.packets} packets in {self.worlds} worlds, "
              f"{self.worlds * args.phases} policy states: {seconds:.1f} s, "
              f"{self.packets / seconds:.0f} packets/s")


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
    finally:
        runner.stop()
    return 1 if runner.failures else 0


if __name__ == "__main__":
    sys.exit(main())
