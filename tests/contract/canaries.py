"""Personal data that a test sends in, and never wants to see come out."""

from collections.abc import Iterable, Mapping

# One of each kind that the contract names; each value stands nowhere else.
CANARIES: Mapping[str, str] = {
    "mail": "jane.canary@personal.example",
    "card number": "4929123123123127",
    "IBAN": "DE21500500001234567897",
    "phone": "+4915212345678",
    "IP address": "203.0.113.77",
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "password": "correct-horse-canary-staple",
}


def found(signals: Mapping[str, str]) -> list[str]:
    """Name each canary that stands in a signal's text, as `card number in spans`."""
    return [
        f"{kind} in {signal}"
        for signal, text in signals.items()
        for kind, value in CANARIES.items()
        if value in text or value.replace("+", "%2B") in text
    ]


def everywhere(values: Iterable[str]) -> str:
    """All values in one text, as a header or a body might hold them."""
    return " ".join(values)
