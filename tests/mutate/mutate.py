"""Mistakes made on purpose in policy/*.c: do the tests see them?

    mutate.py FOLDER [--sample SECONDS] [--only FILE...] [--report FILE]
              [--again FILE] [--resume FILE] [--list]

Each mutant (operators.py) is compiled into the library and tried by the policy
unit tests and by the model's driver over questions that policy_compare.py
answered once. What passes is tried again under the address checker; what then
passes survives, unless the compiler makes the same code of it, or
equivalent.txt says why nobody could tell it from the original.

--sample   as many mutants as that time allows, drawn with CV_SEED (printed)
           and without the address checker, in place of all; without CV_FULL=1
           that is what is done, for 55 seconds
--only     mutants of these files
--report   writes a line a mutant, as it comes
--again    tries only what survived in such a file
--resume   goes on with such a file of a run that was stopped: what is in it is
           counted and not tried again, what is tried is added to it
--list     only names them

Ends with 1 where fewer than 95 % are caught (of a sample: 75 %), with 77 where
the machine was too busy for a sample.
"""

import argparse
import collections
import json
import multiprocessing
import os
import random
import re
import sys
import time

import lab
import operators

GOAL, SAMPLE_GOAL = .95, .75
SAMPLE_S, MOST_A_SECOND, FEWEST = 55, 12, 30
QUESTIONS = 1500
HERE = os.path.dirname(os.path.abspath(__file__))


def all_mutants(only):
    for source in lab.sources_of("policy"):
        if only and source not in only:
            continue
        for mutant in operators.mutants(lab.source_text(source)):
            yield source, mutant


def shown(source, mutant):
    """`FILE: OPERATOR: LINE -> LINE`, with the spaces of lines made one: how
    equivalent.txt names a mutant."""
    text = lab.source_text(source)
    begin = text.rfind("\n", 0, mutant.begin) + 1
    end = text.find("\n", mutant.end)
    before = " ".join(text[begin:end].split())
    after = " ".join((text[begin:mutant.begin] + mutant.put +
                      text[mutant.end:end]).split())
    return f"{source}: {mutant.operator}: {before} -> {after}"


def listed():
    """{mutant as shown: reason}; a reason stands below those that it is for,
    indented. `...` in a mutant stands for any text."""
    found, names = {}, []
    with open(os.path.join(HERE, "equivalent.txt"), encoding="ascii") as f:
        lines = [n.rstrip() for n in f if n.strip() and n[0] != "#"]
    for before, line in zip(["", *lines], lines):
        if line[0] not in " \t":
            names = [line] if before[:1] in (" ", "") else [*names, line]
            found[line] = ""
        for name in names if line[0] in " \t" else []:
            found[name] += " " + line.strip()
    unreasoned = [n for n, reason in found.items() if not reason]
    if unreasoned:
        raise SystemExit(f"equivalent.txt: no reason for {unreasoned}")
    return found


def is_listed(name, equivalent):
    return name in equivalent or any(
        re.fullmatch(".*".join(map(re.escape, line.split("..."))), name)
        for line in equivalent if "..." in line)


class Work:
    """What every worker has: the labs are made before the workers fork."""

    plain = checked = benches = None


def work(item):
    number, source, mutant = item
    if Work.benches is None:
        Work.benches = [lab.Bench(one, os.getpid())
                        for one in (Work.plain, Work.checked) if one]
    plain, *checked = Work.benches
    caught = plain.catch(number, source, mutant)
    if caught is None and plain.same_code(source, mutant):
        return source, mutant, "same code"
    if caught is None and checked:
        caught = checked[0].catch(number, source, mutant)
        caught = caught and caught + ", checked"
    return source, mutant, caught


def verdict(counts):
    total = counts["caught"] + counts["survived"]
    return counts["caught"] / total if total else 1.0


def summary(results, equivalent):
    """Prints who survived and how many did what; {what: how many}."""
    by = collections.defaultdict(collections.Counter)
    killers = collections.Counter()
    for source, mutant, caught in results:
        if caught == "":
            continue
        if caught == "same code":
            what = "same code"
        elif caught:
            what = "caught"
            killers[caught] += 1
        elif is_listed(shown(source, mutant), equivalent):
            what = "equivalent"
        else:
            what = "survived"
            line = lab.source_text(source).count("\n", 0, mutant.begin) + 1
            print(f"survived: {line}: {shown(source, mutant)}")
        for key in ("all", source, mutant.operator):
            by[key][what] += 1
    for key in sorted(by, key=lambda k: (k != "all", k)):
        c = by[key]
        print(f"{key}: {100 * verdict(c):.1f} % caught ({c['caught']}), "
              f"{c['survived']} survived, {c['equivalent']} equivalent as "
              f"listed, {c['same code']} the same machine code")
    print("caught by", dict(killers.most_common()))
    return by["all"]


def prepare(folder, todo, jobs, seed, checked):
    numbered = collections.defaultdict(list)
    for number, source, mutant in todo:
        numbered[source].append((number, mutant))
    for name, flags in (("plain", lab.PLAIN), ("checked", lab.CHECKED)):
        if name == "checked" and not checked:
            continue
        made = lab.Lab(os.path.join(folder, name), flags, numbered, jobs)
        made.give_model(Work.plain, QUESTIONS, seed)
        made.measure()
        setattr(Work, name, made)


def resumed(todo, lines):
    """What an earlier run's report leaves to be tried, and its results. Like
    lines of one file make mutants of one name: each result stands for one."""
    had = collections.defaultdict(list)
    for name, caught in map(json.loads, lines):
        had[name].append(caught)
    left, results = [], []
    for source, mutant in todo:
        of_it = had[shown(source, mutant)]
        if of_it:
            results.append((source, mutant, of_it.pop()))
        else:
            left.append((source, mutant))
    return left, results


def run(todo, jobs, until, report):
    """Results, each written to the report (a JSON list a line) as it comes."""
    results = []
    with multiprocessing.Pool(jobs) as pool:
        for result in pool.imap_unordered(work, todo):
            results.append(result)
            if report:
                source, mutant, caught = result
                print(json.dumps([shown(source, mutant), caught]), file=report,
                      flush=True)
            if until and time.monotonic() > until:
                break
        pool.terminate()
    return results


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--sample", type=float)
    p.add_argument("--only", nargs="+")
    p.add_argument("--again", type=argparse.FileType("r"))
    p.add_argument("--resume", type=argparse.FileType("a+"))
    p.add_argument("--list", action="store_true")
    p.add_argument("--report", type=argparse.FileType("w"))
    return p.parse_args()


def main():
    args = arguments()
    if not args.sample and os.environ.get("CV_FULL", "0") in ("", "0"):
        args.sample = SAMPLE_S
    until = args.sample and time.monotonic() + args.sample
    seed = int(os.environ.get("CV_SEED") or random.randrange(1 << 31))
    jobs = int(os.environ.get("CV_JOBS") or os.cpu_count())
    todo = list(all_mutants(args.only))
    if args.again:
        passed = {name for name, caught in map(json.loads, args.again)
                  if caught is None}
        todo = [item for item in todo if shown(*item) in passed]
    if args.list:
        for item in todo:
            print(shown(*item))
        return 0
    print(f"CV_SEED={seed}; {len(todo)} places for mutants", flush=True)
    earlier = []
    if args.resume:
        args.resume.seek(0)
        todo, earlier = resumed(todo, args.resume)
        print(f"{len(earlier)} of them tried before", flush=True)
    random.Random(seed).shuffle(todo)
    if args.sample:
        del todo[int(args.sample * MOST_A_SECOND):]
    todo = [(i + 1, *item) for i, item in enumerate(todo)]
    equivalent = listed()
    prepare(args.folder, todo, jobs, seed, not args.sample)
    results = earlier + run(todo, jobs, until, args.resume or args.report)
    counts = summary(results, equivalent)
    goal = SAMPLE_GOAL if args.sample else GOAL
    print(f"{len(results)} tried, goal {100 * goal:.0f} %")
    if args.sample and len(results) < FEWEST:
        print("skipped: the machine is too busy for more")
        return 77
    return 0 if verdict(counts) >= goal else 1


if __name__ == "__main__":
    sys.exit(main())
