"""What of a source of recordings may stand in a cohort: pseudonyms in place of ids, no dates, no free text.

A pseudonym is HMAC-SHA256 (RFC 2104) of the id under a random salt, shortened. Who has the salt can find the pseudonym
of an id, and so try every name they can think of; who has not can do neither. The salt lies in the cohort folder and
goes nowhere from there.
"""

import dataclasses
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from biomechjax.cohort.columns import COLUMNS
from biomechjax.cohort.splits import Division, Listed
from biomechjax.errors import InputError
from biomechjax.motion.tsv import ABSENT

SALT_FILE = "participants.salt"
SALT_BYTES = 32
DIGITS = 10  # hexadecimal, of a pseudonym: of a thousand people two are the same once in two million cohorts
KNOWN = frozenset({*COLUMNS, "site", "tracking_system"})
LONGEST_LABEL = 40  # characters; what is longer is a sentence
SMALLEST_NUMBER = 1000  # of years, and of numbers of records, telephones and places
LISTED = 5  # so many people of a list are named in a cohort
_MONTH = r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-/._]\d{1,2}[-/._]\d{1,2}"  # 1957-03-12
    r"|\d{1,2}[-/._]\d{1,2}[-/._](?:\d\d|\d{4})"  # 12.3.57
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:T?\d{4,6})?"  # 19570312
    rf"|\d{{1,4}}(?:st|nd|rd|th)?[-/._ ]*{_MONTH}[-/._, ]*\d{{1,4}}"  # 12 Mar 1957
    r")(?!\d)"
    rf"|(?<![a-zä]){_MONTH}[-/._ ]*\d{{1,2}}(?:st|nd|rd|th)?[-/._, ]+\d{{2,4}}(?!\d)",  # March 12, 1957
    re.IGNORECASE,
)
_OF_DATES = re.compile(r"birth|dob|date|year|month|day(?!s)", re.IGNORECASE)


def new_salt() -> bytes:
    """A random salt."""
    return secrets.token_bytes(SALT_BYTES)


def read_salt(path: Path | str) -> bytes:
    """The salt of an earlier cohort.

    Raises:
        InputError: the file is unreadable or holds something else.
    """
    try:
        salt = bytes.fromhex(Path(path).read_text(encoding="ascii").strip())
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "not hexadecimal"
        raise InputError(f"{path}: not readable as a salt: {reason}; expected {SALT_FILE} of a cohort") from e
    if len(salt) != SALT_BYTES:
        raise InputError(f"{path}: {len(salt)} bytes; expected a salt of {SALT_BYTES}, as {SALT_FILE} of a cohort")
    return salt


def write_salt(path: Path, salt: bytes) -> None:
    """Writes a new file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(salt.hex() + "\n")


def pseudonym(salt: bytes, person: str) -> str:
    """ "sub-" and DIGITS hexadecimal digits; of an id with or without "sub-", whatever its case and punctuation."""
    return f"sub-{hmac.new(salt, _plain(person).encode(), hashlib.sha256).hexdigest()[:DIGITS]}"


def _plain(person: str) -> str:
    """The letters and digits of an id: the same of "sub-P01", "P-01" and "p01 "."""
    text = unicodedata.normalize("NFKC", person.strip()).casefold().removeprefix("sub-")
    return "".join(c for c in text if c.isalnum())


@dataclasses.dataclass(frozen=True)
class Privacy:
    """What of a source stands in the cohort.

    Attributes:
        salt: of the pseudonyms; None where ids, and names of files, are pseudonyms already.
        asked: label columns beyond KNOWN that somebody asks for; they stay unless they hold dates or sentences.
        keep: columns that stay whatever they hold; with "file" a table's names of files do, as source_file.
        name: of the cohort; empty for one made of the salt, or without a salt the source's own.
    """

    salt: bytes | None = dataclasses.field(default_factory=new_salt, repr=False)
    asked: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    name: str = ""

    def ids(self, people: Iterable[str]) -> dict[str, str]:
        """What each participant is called in the cohort.

        Raises:
            InputError: two would be called the same, or an id has no letter or digit.
        """
        if self.salt is None:
            return {p: p for p in people}
        found = {p: pseudonym(self.salt, p) for p in people}
        if not all(map(_plain, found)):
            raise InputError("a participant's id has no letter or digit; rename it")
        name, count = Counter(found.values()).most_common(1)[0] if found else ("", 1)
        if count > 1:
            raise InputError(
                f"{count} participants become {name}: their ids differ only in case or punctuation; write the id of "
                "one person in one way. If they are several people, rename one"
            )
        return found

    def in_order(self, people: Iterable[str]) -> list[str]:
        """What participants are called, in the order of the cohort: that of the source says something of names."""
        return list(people) if self.salt is None else sorted(people)

    def division(self, division: Division | None) -> Division | None:
        """The rule by what participants are called in the cohort."""
        if self.salt is None or not isinstance(division, Listed):
            return division
        names = tuple(pseudonym(self.salt, name) for name in division.names)
        return Listed(names, f"{len(names)} participants" if len(names) > LISTED else "")

    def cohort_name(self, own: str) -> str:
        """The name of the cohort; two of one salt are of the same people, and have the same."""
        if self.name or self.salt is None:
            return self.name or own
        return f"recordings {hmac.new(self.salt, b'name of the cohort', hashlib.sha256).hexdigest()[:6]}"

    def dropped(self, rows: Collection[Mapping[str, object]], people: Collection[str] = ()) -> dict[str, str]:
        """The columns that do not stay, each with the reason.

        Args:
            rows: cells; those that are None or n/a are absent.
            people: ids, which no cell may hold.
        """
        columns = dict.fromkeys(c for row in rows for c in row if c not in self.keep)
        ids = {p.removeprefix("sub-").casefold() for p in people} if self.salt is not None else set()
        found = {}
        for column in columns:
            cells = {str(row[column]) for row in rows if row.get(column) not in (None, "", ABSENT)}
            if reason := _reason(column, cells, column in KNOWN | self.asked, ids):
                found[column] = reason
        return found

    @property
    def hides_files(self) -> bool:
        """Whether messages do not say the names of files."""
        return self.salt is not None and "file" not in self.keep

    def hidden(self, text: str, *names: str) -> str:
        """A message of a reader without the names of its files, and without what it quotes of their content."""
        if not self.hides_files:
            return text
        for name in sorted(filter(None, names), key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?![^\W_])", "the file", text)
        text = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", text)
        return re.sub(r"[^\s:,;()'\"]+:(?=[^\s:])", "", text)  # the person before a marker, as in Ann:LASI


def _reason(column: str, cells: Collection[str], known: bool, ids: set[str]) -> str | None:
    """Why a column does not stay; None where it does."""
    if any(_DATE.search(c) for c in cells):
        return "it holds dates"
    if any(not c.isdecimal() and set(re.split(r"[^\w]+|_", c.casefold())) & ids for c in cells):
        return "it holds ids of participants"
    if any(len(c) > LONGEST_LABEL for c in cells):
        return "it is free text"
    if known:
        return None
    if _OF_DATES.search(column):
        return "its name is that of a date"
    try:
        numbers = [float(c) for c in cells]
    except ValueError:
        return "it is text that no task asks for"
    if any(n.is_integer() and abs(n) >= SMALLEST_NUMBER for n in numbers):
        return f"it holds whole numbers from {SMALLEST_NUMBER} on, as years, records and telephones have"
    return None
