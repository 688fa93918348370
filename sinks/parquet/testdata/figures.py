"""Runs documented queries with DuckDB and compares their figures, in order, with
those that this program finds in the NDJSON of the working folder by itself."""
import collections
import datetime
import decimal
import json
import re
import sys

import duckdb

decimal.getcontext().prec = 1100
Decimal = decimal.Decimal


def lines(name):
    with open(name + ".ndjson", encoding="utf-8") as f:
        return [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in f if line.strip()]


patients, encounters, observations = lines("Patient"), lines("Encounter"), lines("Observation")


def text(v):
    return v if isinstance(v, str) else None


def number(o):
    """The numeric of valueQuantity.value: six places, half away from zero."""
    v = o.get("valueQuantity", {}).get("value")
    if v is None:
        return None
    v = v.quantize(Decimal("0.000001"), decimal.ROUND_HALF_UP)
    return None if abs(v) >= Decimal(10) ** 26 else v


DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?)?)?)?")


def span(s):
    """The first instant that a date covers and the first one after it."""
    m = DATE.fullmatch(s or "")
    if not m:
        return None
    y, mo, d, h, mi, sec, fraction, zone = m.groups()
    start = datetime.datetime(int(y), int(mo or 1), int(d or 1))
    if h is None:
        if d:
            end = start + datetime.timedelta(days=1)
        elif mo:
            end = (start + datetime.timedelta(days=31)).replace(day=1)
        else:
            end = start.replace(year=start.year + 1)
        return start, end
    start += datetime.timedelta(hours=int(h), minutes=int(mi), seconds=min(int(sec), 59))
    unit = datetime.timedelta(seconds=1)
    if sec == "60":
        start, unit = start + datetime.timedelta(microseconds=999999), datetime.timedelta(microseconds=1)
    elif fraction:
        start += datetime.timedelta(microseconds=int((fraction + "000000")[:6]))
        unit = datetime.timedelta(microseconds=10 ** max(0, 6 - len(fraction)))
    if zone and zone != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[4:])
        start -= datetime.timedelta(minutes=minutes if zone[0] == "+" else -minutes)
    return start, start + unit


def reference_id(r):
    if not r:
        return None
    if r.startswith("urn:uuid:"):
        return r[len("urn:uuid:"):]
    m = re.fullmatch(r"(?:https?://.*/)?[A-Z][A-Za-z]+/([A-Za-z0-9.-]+)(?:/_history/[^/]+)?", r)
    return m and m.group(1)


numbers = [n for n in map(number, observations) if n is not None]
total = (len(observations), sum(numbers))

codes = collections.Counter(c.get("code") for o in observations for c in o.get("code", {}).get("coding", []))
top = sorted(codes.items(), key=lambda kv: (-kv[1], kv[0] is None, kv[0] or ""))[:5]

by_id = collections.defaultdict(list)
for p in patients:
    by_id[p["id"]].append(text(p.get("gender")))
genders = collections.Counter(g for e in encounters for g in by_id.get(reference_id(e.get("subject", {}).get("reference")), []))

first, after = datetime.datetime(2019, 1, 1), datetime.datetime(2020, 1, 1)
spans = [s for s in (span(o.get("effectiveDateTime")) for o in observations) if s]
in2019 = sum(1 for s in spans if s[1] > first and s[0] < after)

stray = collections.Counter()
for p in patients:
    stray.update("/" + k for k in ("odd", "deceasedBoolean") if k in p and p[k] in (None, {"a": []}))
    if "gender" in p and text(p["gender"]) is None:
        stray["/gender"] += 1

vitals = collections.defaultdict(list)
units = collections.defaultdict(set)
for o in observations:
    if number(o) is not None:
        coding = o.get("code", {}).get("coding") or [{}]
        vitals[coding[0].get("display")].append(number(o))
        units[coding[0].get("display")].add(o["valueQuantity"].get("unit"))

born = {(p["id"], p["birthDate"]) for p in patients if span(p.get("birthDate")) and span(p["birthDate"])[0] >= datetime.datetime(1980, 1, 1)}


def same_vitals(rows):
    assert len(rows) == len(vitals), (len(rows), len(vitals))
    for what, n, mean, unit in rows:
        want = sum(vitals[what]) / len(vitals[what])
        assert n == len(vitals[what]), (what, n)
        assert abs(Decimal(mean) - want) <= abs(want) * Decimal("1e-9") + Decimal("1e-9"), (what, mean, want)
        assert unit in units[what] or unit is None, (what, unit)


def equal(want):
    def compare(rows):
        assert list(rows) == list(want), (rows[:9], list(want)[:9])
    return compare


def same_set(want):
    def compare(rows):
        key = lambda r: tuple(map(str, r))
        assert sorted(rows, key=key) == sorted(want, key=key), (rows[:9], sorted(want, key=key)[:9])
    return compare


# One for each query, in the order of the documents.
figures = [
    equal([total]),
    equal(top),
    same_set(genders.items()),
    equal([(in2019,)]),
    same_set(stray.items()),
    same_vitals,
    same_set(genders.items()),
    same_set(born),
]
queries = sys.argv[1:]
assert len(queries) == len(figures), f"{len(queries)} queries are documented, {len(figures)} are known here"
for query, compare in zip(queries, figures):
    rows = duckdb.connect().execute(query).fetchall()
    compare(rows)
    print(len(rows), "rows agree:", query.splitlines()[0])
