"""Detectors of personal data, off by default: each finds one kind of value by its check digits.

Each takes a text and yields the spans to replace. Every pattern has bounded repetitions, so the
time is linear in the text.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]

_EMAIL: Final = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64}(?:@|%40)(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![\w-])",
    re.IGNORECASE,
)
_FODSELSNUMMER: Final = re.compile(r"(?<!\w)(\d{6})[ -]?(\d{5})(?!\w)", re.ASCII)
_IBAN: Final = re.compile(
    r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII
)
_CARD: Final = re.compile(r"(?<![\w.])[2-6]\d(?:[ -]?\d){11,17}(?!\w)", re.ASCII)

_WEIGHTS_1: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_WEIGHTS_2: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
_MONTH_OFFSETS: Final = (0, 40, 65, 80)
"""Real numbers, and the series of synthetic ones that test systems use."""
_SHORTEST_IBAN: Final = 15
_PHONE_REGION: Final = "NO"
_MAX_PHONE_TRIES: Final = 1000


def _emails(text: str) -> Iterator[Span]:
    if "@" in text or "%40" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def _fodselsnummer(text: str) -> Iterator[Span]:
    for match in _FODSELSNUMMER.finditer(text):
        if _is_fodselsnummer(match[1] + match[2]):
            yield match.span()


def _is_fodselsnummer(digits: str) -> bool:
    """Return whether 11 digits are a fødselsnummer or a D-number, whose day has 40 added."""
    numbers = [int(digit) for digit in digits]
    day, month = int(digits[:2]), int(digits[2:4])
    return (
        1 <= (day - 40 if day > 40 else day) <= 31  # noqa: PLR2004 - days, and D-numbers' days
        and any(1 <= month - offset <= 12 for offset in _MONTH_OFFSETS)  # noqa: PLR2004 - months
        and sum(map(int.__mul__, numbers, _WEIGHTS_1)) % 11 == 0
        and sum(map(int.__mul__, numbers, _WEIGHTS_2)) % 11 == 0
    )


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        found = match[0]
        while len(found.replace(" ", "")) >= _SHORTEST_IBAN:
            if _is_iban(found.replace(" ", "")):
                yield match.start(), match.start() + len(found)
                break
            found = found.rpartition(" ")[0]  # the last group may be a word that follows


def _is_iban(iban: str) -> bool:
    return int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def _cards(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        if _has_luhn_digit(match[0].replace(" ", "").replace("-", "")):
            yield match.span()


def _has_luhn_digit(digits: str) -> bool:
    odd = sum(int(digit) for digit in digits[-1::-2])
    even = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


def _phones() -> Detector:
    from phonenumbers import PhoneNumberMatcher  # noqa: PLC0415 - an extra

    def phones(text: str) -> Iterator[Span]:
        matches = PhoneNumberMatcher(text, _PHONE_REGION, max_tries=_MAX_PHONE_TRIES)
        for match in matches:
            yield match.start, match.end

    return phones


_MADE_BY: Final[dict[str, Callable[[], Detector]]] = {
    "fodselsnummer": lambda: _fodselsnummer,
    "email": lambda: _emails,
    "iban": lambda: _ibans,
    "card": lambda: _cards,
    "phone": _phones,
}

DETECTOR_NAMES: Final = tuple(_MADE_BY)
"""In the order in which they look; the vaguest, phone, is last."""


def make_detector(name: str) -> Detector:
    """Return the detector of this name. Raises ImportError where the extra ``phone`` is missing."""
    return _MADE_BY[name]()
