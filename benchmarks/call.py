"""The one call that every peer makes."""

SERVICE = "company-lookup"
VERSION = "1.0.0"
PEERS = {"BRREG": "SYS1234567"}
FUNCTION = "lookupCompany"
MESSAGE = "Looking up company 971277882"
INPUT = {
    "organisasjonsnummer": "971277882",
    "attempt": 1,
    "cached": False,
    "source": "register",
}
RESPONSE = {
    "navn": "DIREKTORATET FOR UTVIKLINGSSAMARBEID",
    "organisasjonsform": "Organisasjonsledd",
    "antall": 512,
    "ok": True,
}
