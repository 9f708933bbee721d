"""Dates in the forms that people write, each with its form of ISO 8601: corpora/dates.tsv and the dates of `pairs`.

python -m benchmarks.library.dates > corpora/dates.tsv
"""

from __future__ import annotations

import sys
from datetime import date, timedelta

import numpy as np

FIRST, DAYS = date(1900, 1, 1), 73_049
"""The dates are those of two centuries."""
FORMS = (
    "{day} {month} {year}",
    "{month} {day}, {year}",
    "{day}.{number}.{year}",
    "{number}/{day}/{year}",
    "{weekday}, {day} {month} {year}",
    "{weekday} {month} {ordinal}, {year}",
    "the {ordinal} of {month} {year}",
    "{day} {short} {year}",
    "{short} {day} {year}",
    "{day}-{short}-{year}",
)


def ordinal(day: int) -> str:
    """Return the ordinal of a day.

    >>> [ordinal(day) for day in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    suffix = "th" if day // 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def make_dates(count: int, *, test: bool, seed: int = 0) -> list[tuple[str, str]]:
    """Return pairs of a date as it is written and in ISO 8601. No day of the test is in the training set."""
    rng = np.random.default_rng([seed, int(test)])
    found: dict[str, str] = {}
    while len(found) < count:
        number = int(rng.integers(DAYS))
        if (number * 2_654_435_761 % 2**32 < 2**32 // 10) != test:  # a tenth of the days, by a hash
            continue
        day = FIRST + timedelta(number)
        written = str(rng.choice(FORMS)).format(
            day=day.day, number=day.month, year=day.year, ordinal=ordinal(day.day), month=day.strftime("%B"),
            short=day.strftime("%b"), weekday=day.strftime("%A"),
        )  # fmt: skip
        found[written.lower() if rng.random() < 0.2 else written] = day.isoformat()
    return list(found.items())


def to_tsv(pairs: list[tuple[str, str]]) -> str:
    """Return pairs as lines of "source TAB target"."""
    return "".join(f"{source}\t{target}\n" for source, target in pairs)


if __name__ == "__main__":
    sys.stdout.write(to_tsv(make_dates(500, test=False)))
