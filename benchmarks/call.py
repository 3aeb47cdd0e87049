"""The one call that every peer makes, and the error that every peer logs.

As a line of this library the entry has about 900 bytes.
"""

SERVICE = "company-lookup"
VERSION = "1.0.0"
PEERS = {"BRREG": "SYS1234567"}
SYSTEM = PEERS["BRREG"]
FUNCTION = "lookupCompany"
LOG_TYPE = "transaction"
MESSAGE = (
    "Looked up company 971277882 in the central register, the answer was taken as it is "
    "and will be looked up again tomorrow"
)
INPUT = {
    "organisasjonsnummer": "971277882",
    "url": "https://data.brreg.example/enhetsregisteret/api/enheter/971277882?expand=address",
    "attempt": 1,
    "cached": False,
}
RESPONSE = {
    "navn": "DIREKTORATET FOR UTVIKLINGSSAMARBEID",
    "adresse": "Bygdøy allé 2, 0257 Oslo, Norge (postboks 1303 Vika)",
    "næring": "84.110 Generell offentlig administrasjon og forvaltning på statlig nivå",
    "ansatte": 512,
}
ERROR_MESSAGE = "The central register did not answer"


def failures(count: int) -> list[Exception]:
    """Return exceptions that were each raised through eight frames: no one is logged twice."""
    return [_failure() for _ in range(count)]


def _failure() -> Exception:
    try:
        look_up()
    except ConnectionError as error:
        return error
    raise AssertionError


def look_up() -> None:
    read_company(INPUT)


def read_company(wanted: dict[str, object]) -> None:
    number = wanted["organisasjonsnummer"]
    ask_register(number)


def ask_register(number: object) -> None:
    send(f"/enheter/{number}")


def send(path: str) -> None:
    send_once(path, attempt=1)


def send_once(path: str, attempt: int) -> None:
    open_connection(path, timeout=5 * attempt)


def open_connection(path: str, timeout: int) -> None:
    assert path
    connect(timeout)


def connect(timeout: int) -> None:
    raise ConnectionError(f"no answer from data.brreg.example within {timeout} s")
