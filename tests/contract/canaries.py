"""Personal data that a test sends in, and never wants to see come out."""

from collections.abc import Mapping
from urllib.parse import quote

# Each kind that the contract names, in the forms that people write; each value stands nowhere else.
CANARIES: Mapping[str, str] = {
    "mail": "jane.canary@personal.example",
    "mail with a tag": "jane_canary+shop-1@mail.personal.example",
    "mail in capitals": "J.CANARY99@PERSONAL.EXAMPLE",
    "card number": "4929123123123127",
    "card number in fours": "5425 2334 3010 9903",
    "card number with dashes": "4929-1231-2312-3127",
    "card number of 15 digits": "374245455400126",
    "card number in 4, 6 and 5": "3714 496353 98431",
    "IBAN": "DE21500500001234567897",
    "IBAN in fours": "GB33 BUKB 2020 1555 5555 55",
    "IBAN of another length": "NO9386011117947",
    "phone": "+4915212345678",
    "phone with blanks": "+44 20 7946 0958",
    "phone with an area code": "+1 (212) 555-0147",
    "IP address": "203.0.113.77",
    "second IP address": "198.51.100.203",
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "unsigned JSON Web Token": "eyJhbGciOiJub25lIn0.eyJuYW1lIjoiSmFuZSBDYW5hcnkifQ.",
    "password": "correct-horse-canary-staple",
    "password of signs": "Tr0ub4dor~canary!x",
}


def found(signals: Mapping[str, str]) -> list[str]:
    """Name each canary that stands in a signal's text, as `card number in spans`."""
    return [
        f"{kind} in {signal}"
        for signal, text in signals.items()
        for kind, value in CANARIES.items()
        if any(form in text for form in forms(value))
    ]


def forms(value: str) -> set[str]:
    """The ways in which a value stands in a text: as it is, in a path, in a query."""
    return {value, quote(value), quote(value, safe="+"), quote(value).replace("%20", "+")}
