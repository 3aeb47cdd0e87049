def scan(message: str, input_text: bytes, response_text: bytes, /) -> int:
    """Say in one pass what a message and two JSON texts may hold: flags of prefilter.py.

    Takes a nanosecond a byte. Raises ``UnicodeEncodeError`` for a lone surrogate in the message.
    Thread-safe; keeps the interpreter's lock.
    """
