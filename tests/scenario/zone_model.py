"""A second opinion on time zone files (RFC 9636): files of our own making, at
the edges of what is taken, and random rules of POSIX for the time behind the
last transition, as Python's zoneinfo reads them.

policy_model.py calls compare().
"""

import base64
import datetime
import io
import struct
import zoneinfo

DAY = 86400
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
YEARS = [1, 4, 99, 100, 101, 399, 400, 401, 1600, 1700, 1899, 1900, 1901, 1904,
         1968, 1969, 1970, 1971, 1972, 1999, 2000, 2001, 2024, 2026, 2100,
         2101, 2396, 2400, 2401, 4000]


def block(version, time_size, times=(), index=(), types=((0, 0, 0),),
          chars=b"UTC\0", leap=0, std=0, ut=0):
    """A header and its body."""
    counts = (ut, std, leap, len(times), len(types), len(chars))
    form = {4: ">i", 8: ">q"}[time_size]
    return (b"TZif" + version + bytes(15) + struct.pack(">6I", *counts) +
            b"".join(struct.pack(form, t) for t in times) + bytes(index) +
            b"".join(struct.pack(">iBB", *t) for t in types) + chars +
            bytes(leap * (time_size + 4) + std + ut))


def zone_file(footer=b"\n\n", version=b"2", first=None, **second):
    return (block(version, 4, **(first or {})) + block(version, 8, **second) +
            footer)


def types(n, **last):
    return [(last.get("offset", 60 * i), 0, 0) for i in range(n)]


def edges():
    """(file, None or {time: offset}): what is refused, what is taken."""
    plain = {0: 0}
    yield zone_file(), plain
    for version in b"234":
        yield zone_file(version=bytes([version])), plain
    for magic in b"xZif", b"Txif", b"TZxf", b"TZix":
        yield magic + zone_file()[4:], None
    for version in b"\x00", b"1", b"5", b"9":
        yield zone_file(version=version), None
    # Counts, in either block. What is told of UT and standard time must be 0
    # or as many as there are types; that is not looked at.
    for key, most in (("ut", 256), ("std", 256)):
        for n, fine in ((1, True), (most, True), (most + 1, False)):
            yield zone_file(first={key: n}), plain if fine else None
            yield zone_file(**{key: n}), plain if fine else None
    yield zone_file(first={"ut": 3, "std": 5, "leap": 7}), plain
    yield zone_file(first={"leap": 4096}), plain
    yield zone_file(first={"leap": 4097}), None
    yield zone_file(leap=1), None
    for n, fine in ((1, True), (256, True), (257, False)):
        more = {"types": types(n)}
        yield zone_file(first=more), plain if fine else None
        yield zone_file(**more), plain if fine else None
    yield zone_file(first={"types": []}), None
    yield zone_file(types=[]), None
    for n, fine in ((1, True), (4096, True), (4097, False), (0, False)):
        more = {"chars": b"x" * n}
        yield zone_file(first=more), plain if fine else None
        yield zone_file(**more), plain if fine else None
    for n, fine in ((4096, True), (4097, False)):
        more = {"times": range(10, 10 + n), "index": [0] * n}
        yield zone_file(first=more), plain if fine else None
        yield zone_file(**more), plain if fine else None
    # Offsets: -25 h to 26 h are what the standard says of them; a day and two
    # hours less a second either way are taken.
    for s, fine in ((93599, True), (93600, False), (-93599, True),
                    (-93600, False)):
        yield zone_file(types=[(s, 0, 0)]), {0: s, 5: s} if fine else None
    yield from footers()
    yield from transitions()
    yield from cut()


def footers():
    plain = {0: 0}
    yield zone_file(footer=b"\n"), None
    yield zone_file(footer=b""), None
    yield zone_file(footer=b"\n\n\n"), None
    yield zone_file(footer=b"x\n"), None
    yield zone_file(footer=b"\nUTC0"), None
    yield zone_file(footer=b"\nA\n"), None
    yield zone_file(footer=b"\nABC-1\n"), {0: 3600, 10**9: 3600}
    for n, fine in ((126, True), (127, False)):
        name = b"A" * (n - 1) + b"0"
        yield zone_file(footer=b"\n" + name + b"\n"), plain if fine else None


def transitions():
    more = {"types": [(0, 0, 0), (60, 0, 0), (120, 0, 0)],
            "times": [-100, 0, 100, 1 << 40], "index": [1, 2, 1, 0]}
    wanted = {-101: 0, -100: 60, -1: 60, 0: 120, 99: 120, 100: 60,
              (1 << 40) - 1: 60, 1 << 40: 0}
    yield zone_file(**more), wanted
    wanted[1 << 40] = 7200
    yield zone_file(footer=b"\nABC-2\n", **more), wanted
    for index in ([3, 0, 0, 0], [0, 0, 0, 3], [0, 0, 255, 0]):
        yield zone_file(**{**more, "index": index}), None
    for times in ([0, 0, 1, 2], [5, 4, 6, 7], [1, 2, 3, 3]):
        yield zone_file(**{**more, "times": times}), None


def cut():
    """Ended anywhere: refused. The first block is a version 1 file's."""
    whole = zone_file(times=[1, 2], index=[0, 0], std=1, ut=1,
                      first={"times": [1], "index": [0], "leap": 1},
                      footer=b"\nABC-1\n")
    for n in range(len(whole)):
        yield whole[:n], None
    # Too long a footer is refused, so is what is too long at all.
    yield whole + bytes(1 << 20), None


def random_name(rnd):
    if rnd.random() < .4:
        return "<" + "".join(rnd.choice("AZaz09+-") for _ in range(
            rnd.randint(3, 6))) + ">"
    return "".join(rnd.choice("AZaz") for _ in range(rnd.randint(3, 6)))


def random_time(rnd, most, signs="-+"):
    sign = rnd.choice(["", "", *signs])
    hour = rnd.choice([0, 1, 2, 3, most, rnd.randint(0, most)])
    text = f"{sign}{hour}" if rnd.random() < .5 else f"{sign}{hour:02}"
    if rnd.random() < .3:
        text += f":{rnd.choice([0, 1, 30, 59]):02}"
        if rnd.random() < .5:
            text += f":{rnd.choice([0, 1, 30, 59]):02}"
    return text


def random_date(rnd, first, last):
    """In these months (of 30 days), so that both changes are far enough from
    each other and from the end of a year. As the standard counts and as Python
    does, whose days without a J begin with 31 December."""
    month = rnd.randint(first, last)
    day = rnd.randint((month - 1) * 30 + 15, month * 30)
    form = rnd.random()
    time = "/" + random_time(rnd, rnd.choice([24, 99])) * (rnd.random() < .5)
    time = time if len(time) > 1 else ""
    if form < .5:
        text = f"M{month}.{rnd.randint(1, 5)}.{rnd.randint(0, 6)}{time}"
    elif form < .8:
        # Python takes 28 February, the 59th day, for the 29th in leap years.
        text = f"J{60 if day == 59 else day}{time}"
    else:
        return f"{day}{time}", f"{day + 1}{time}"
    return text, text


def random_rule(rnd):
    """A TZ string with summer time, for us and for Python; the year begins in
    it or not."""
    parts = [random_date(rnd, 2, 5), random_date(rnd, 8, 11)]
    if rnd.random() < .5:
        parts.reverse()
    base = rnd.randint(-21, 21)
    standard = str(base) + (":30" if rnd.random() < .3 else "")
    summer = rnd.choice(["", "", str(base - 1), str(base - 2),
                         str(base + 1)])
    head = random_name(rnd) + standard + random_name(rnd) + summer
    return [",".join([head, *dates]) for dates in zip(*parts)]


def random_times(rnd):
    found = []
    for year in rnd.sample(YEARS, 12):
        first = (datetime.date(year, 1, 1) - datetime.date(1970, 1, 1)).days
        found += [first * DAY + s for s in (-1, 0, 1, rnd.randint(-DAY, DAY))]
        found += [(first + rnd.randint(0, 364)) * DAY +
                  rnd.choice([0, 3600, 7200, rnd.randrange(DAY)])
                  for _ in range(8)]
        # Leap days and what is near them.
        found += [(first + d) * DAY + rnd.randrange(DAY) for d in (58, 59, 60)]
    return [t for t in found if t > -62_000_000_000]


def wanted_at(zone, t):
    here = (EPOCH + datetime.timedelta(seconds=t)).astimezone(zone)
    return [int(here.utcoffset().total_seconds()),
            here.hour * 60 + here.minute, here.weekday()]


def compare_rules(driver, rnd, count):
    checked = 0
    for _ in range(count):
        rule, theirs = random_rule(rnd)
        file, other = (zone_file(footer=f"\n{r}\n".encode(), version=b"3")
                       for r in (rule, theirs))
        zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(other))
        times = random_times(rnd)
        got = driver.ask({"op": "zone", "times": times,
                          "file": base64.b64encode(file).decode()})
        if "error" in got:
            raise SystemExit(f"{rule}: {got['error']}")
        for t, answer in zip(times, got["results"], strict=True):
            wanted = wanted_at(zone, t)
            if answer != wanted:
                raise SystemExit(f"{rule} at {t}: {answer}, not {wanted}")
            checked += 1
    print(f"{checked} local times by rule agree")


BAD_RULES = """A AB 1 +1 ABC ABC+ ABC1:60 ABC1:00:60 ABC25 ABC24:00:00x ABC1:
ABC1:1: <AB>1 <ABC1 ABC1DEF ABC1DEF, ABC1DEF,M3.1.1 ABC1DEF,M3.1.1, ABC1DEF,
ABC1DEF,M0.1.1,M5.1.1 ABC1DEF,M13.1.1,M5.1.1 ABC1DEF,M3.0.1,M5.1.1
ABC1DEF,M3.6.1,M5.1.1 ABC1DEF,M3.1.7,M5.1.1 ABC1DEF,M3.1,M5.1.1
ABC1DEF,M3.1.1,M5.1.1x ABC1DEF,J0,J100 ABC1DEF,J366,J100 ABC1DEF,366,100
ABC1DEF,J1,J100/168 ABC1DEF,J1,J100/ ABC1DEF,J1/1:60,J100 ABC1DEF,Jx,J100
ABC1DEF25,J1,J100 ABC1DE,J1,J100 ABC1<DEF,J1,J100 ABC1DEF,J1J100 AB11 A@C1
ABC1DEF;J1;J100 A1C1 ABC00001 ABC1DEF,00001,J100 ABC1D-F,J1,J100 ABC1,J1,J100
ABC--1 ABC-+1 ABC1DEF,M3-1-1,M5.1.1 ABC1:-1 [ABC1 ABC1DEF,M3.1.1/2/2,M5.1.1
ABC1DEF,J1,J100/1:00:60 ABC1DEF,J1,J100/-168 `BC1 A{C1""".split()
GOOD_RULES = """ABC24 ABC-24 ABC24:59:59 ABC0 abz0 AZz0 <-00>0 <+09az>9 ABC+1
ABC1DEF,J1,J365 ABC1DEF,0,365 ABC1DEF,M1.1.0,M12.5.6 ABC1DEF,J1/167,J100/-167
ABC1DEF24,J60,J300 ABC1DEF-24,J60,J300 ABC1DEF,J1/167:59:59,J100
ABC1DEF,M2.1.1/0,M11.5.0/24 ABC0001""".split()


def compare_forms(driver):
    """Which rules are rules at all; Python takes more and less than POSIX."""
    for rule, fine in ([(r, False) for r in BAD_RULES] +
                       [(r, True) for r in GOOD_RULES]):
        file = zone_file(footer=f"\n{rule}\n".encode(), version=b"3")
        got = driver.ask({"op": "zone", "times": [0],
                          "file": base64.b64encode(file).decode()})
        if ("error" not in got) != fine:
            raise SystemExit(f"{rule}: {got}")


def at(year, month, day, hour=0):
    there = datetime.datetime(year, month, day, hour,
                              tzinfo=datetime.timezone.utc)
    return int(there.timestamp())


# The first second of summer time, by hand: (rule, that second).
BEGINS = [
    *(("ABC0DEF,J59/0,J300", at(y, 2, 28)) for y in (2023, 2024, 2000, 1900)),
    *(("ABC0DEF,J60/0,J300", at(y, 3, 1)) for y in (2023, 2024, 2000, 1900)),
    ("ABC0DEF,59/0,300", at(2023, 3, 1)), ("ABC0DEF,59/0,300", at(2024, 2, 29)),
    ("ABC0DEF,0/0,300", at(2024, 1, 1)),
    ("ABC0DEF,J365/0,J50", at(2024, 12, 31)),
    ("ABC0DEF,365/0,50", at(2024, 12, 31)),
    ("ABC0DEF,J1/167,J300", at(2026, 1, 7, 23)),
    ("ABC0DEF,J10/-167,J300", at(2026, 1, 3, 1)),
    # The year begins on a Thursday, the next one on a Friday.
    ("ABC0DEF,J365/24,J50", at(2026, 1, 1)),
    ("ABC0DEF,J1/-24,J50", at(2025, 12, 31)),
    # First and last days of months that begin with such a day.
    ("ABC0DEF,M2.1.0/0,J300", at(2026, 2, 1)),
    ("ABC0DEF,M2.4.6/0,J300", at(2026, 2, 28)),
    ("ABC0DEF,M2.5.6/0,J300", at(2026, 2, 28)),
    ("ABC0DEF,M2.5.4/0,J300", at(2024, 2, 29)),
    ("ABC0DEF,M2.5.5/0,J300", at(2024, 2, 23)),
    ("ABC0DEF,M3.1.5/0,J300", at(2024, 3, 1)),
    ("ABC0DEF,M12.5.4/0,J50", at(2026, 12, 31)),
    ("ABC0DEF,M12.4.5/0,J50", at(2026, 12, 25)),
    ("ABC0DEF,M1.5.6/0,J300", at(2026, 1, 31)),
    *(("ABC0DEF,M%d.5.%d/0,J%d" % (m, datetime.date(y, m, d).isoweekday() % 7,
                                   (m * 30 + 180) % 365), at(y, m, d))
      for y, m, d in [(2026, 4, 30), (2026, 5, 31), (2026, 6, 30),
                      (2026, 7, 31), (2026, 8, 31), (2026, 9, 30),
                      (2026, 10, 31), (2026, 11, 30), (2024, 3, 31)]),
    *(("ABC0DEF,M%d.1.%d/0,J%d" % (m, datetime.date(y, m, 1).isoweekday() % 7,
                                   (m * 30 + 180) % 365), at(y, m, 1))
      for y in (2024, 2026) for m in range(1, 13)),
]


def compare_begins(driver):
    for rule, t in BEGINS:
        file = zone_file(footer=f"\n{rule}\n".encode(), version=b"3")
        got = driver.ask({"op": "zone", "times": [t - 1, t],
                          "file": base64.b64encode(file).decode()})
        if "error" in got or [r[0] for r in got["results"]] != [0, 3600]:
            raise SystemExit(f"{rule} at {t}: {got}")


def compare_ages(driver, rnd, count):
    """The calendar comes again after 400 years, weekdays too; before the year 1
    as well, where Python does not go."""
    age = 146097 * DAY
    for _ in range(count):
        rule = random_rule(rnd)[0]
        file = zone_file(footer=f"\n{rule}\n".encode(), version=b"3")
        times = [at(2000 + rnd.choice([0, 1, 4, 99, 100, 101, 200, 399]),
                    rnd.choice([1, 2, 3, 12]), rnd.choice([1, 28]),
                    rnd.randrange(24)) for _ in range(20)]
        before = [t - n * age for t in times for n in (5, 6, 20)]
        got = driver.ask({"op": "zone", "times": times + before,
                          "file": base64.b64encode(file).decode()})["results"]
        wanted = [r for r in got[:20] for _ in range(3)]
        if got[20:] != wanted:
            raise SystemExit(f"{rule}: other times in other ages: {times}")


def compare_edges(driver):
    checked = 0
    for file, wanted in edges():
        times = sorted(wanted or {0: 0})
        got = driver.ask({"op": "zone", "times": times,
                          "file": base64.b64encode(file).decode()})
        if ("error" in got) != (wanted is None):
            raise SystemExit(f"{got} for a zone of {len(file)} bytes: {file!r}")
        if wanted is not None and [r[0] for r in got["results"]] != [
                wanted[t] for t in times]:
            raise SystemExit(f"{got}, not {wanted}: {file!r}")
        checked += 1
    print(f"{checked} zone files at the edges are taken or refused as told")


def compare(driver, rnd, count):
    compare_edges(driver)
    compare_forms(driver)
    compare_begins(driver)
    compare_rules(driver, rnd, count)
    compare_ages(driver, rnd, count)
