"""Peer services: the systems that a service talks to, and their system ids."""

from collections.abc import Iterator, Mapping
from typing import Final

INTERNAL: Final = "INTERNAL"
"""The peer of an entry about the service itself."""

_RESERVED: Final = frozenset({"mappings", INTERNAL})


class PeerServices:
    """The peers of a service, as attributes that hold their own names.

    ``PEER.BRREG == "BRREG"``, ``PEER["BRREG"] == "BRREG"``, ``PEER.INTERNAL == "INTERNAL"``, and
    ``PEER.mappings`` is what ``sovdev_initialize(peer_services=…)`` takes. Immutable and safe to
    share between threads. Made by ``create_peer_services`` (specification: peer services).
    """

    __slots__ = ("_mappings",)

    INTERNAL: Final = INTERNAL

    _mappings: dict[str, str]

    def __init__(self, definitions: Mapping[str, str]) -> None:
        object.__setattr__(self, "_mappings", _checked(definitions))

    @property
    def mappings(self) -> dict[str, str]:
        """A copy of the definitions as they were given: peer name to system id."""
        return dict(self._mappings)

    def __getattr__(self, name: str) -> str:
        if name in self._mappings:
            return name
        raise AttributeError(f"there is no peer service {name!r}; defined are: {', '.join(self)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"cannot set {name!r}: define peer services in create_peer_services(...)"
        )

    def __getitem__(self, name: str) -> str:
        if name == INTERNAL or name in self._mappings:
            return name
        raise KeyError(f"there is no peer service {name!r}; defined are: {', '.join(self)}")

    def __contains__(self, name: object) -> bool:
        return name == INTERNAL or name in self._mappings

    def __iter__(self) -> Iterator[str]:
        yield from self._mappings
        yield INTERNAL

    def __len__(self) -> int:
        return len(self._mappings) + 1

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._mappings if name.isidentifier())]

    def __reduce__(self) -> tuple[type["PeerServices"], tuple[dict[str, str]]]:
        return type(self), (self._mappings,)

    def __repr__(self) -> str:
        return f"PeerServices({self._mappings!r})"


def create_peer_services(definitions: Mapping[str, str]) -> PeerServices:
    """Define the systems that a service talks to.

    Args:
        definitions: Peer name to system id, such as ``{"BRREG": "SYS1234567"}``. A name that is
            not an identifier (``"my-queue"``) is reached as ``PEER["my-queue"]``.

    Returns:
        An object with one attribute per peer, plus ``INTERNAL`` and ``mappings``.

    Raises:
        TypeError: ``definitions`` is not a mapping of str to str.
        ValueError: A name is empty, starts with an underscore, or is ``mappings`` or
            ``INTERNAL``, which are reserved; or a system id is blank.
    """
    return PeerServices(definitions)


def _checked(definitions: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(definitions, Mapping):
        raise TypeError(
            "peer services are a mapping of names to system ids, such as "
            f"{{'BRREG': 'SYS1234567'}}, not {type(definitions).__name__}"
        )
    checked = dict(definitions)
    for name, system_id in checked.items():
        _check_one(name, system_id)
    return checked


def _check_one(name: object, system_id: object) -> None:
    if not isinstance(name, str) or not isinstance(system_id, str):
        raise TypeError(f"peer service {name!r}: {system_id!r} must be a str with a str system id")
    if name in _RESERVED:
        raise ValueError(f"a peer service cannot be named {name!r}: PEER.{name} is always there")
    if not name.strip() or name.startswith("_"):
        raise ValueError(
            f"a peer service cannot be named {name!r}: use a name that is not empty and does not "
            "start with an underscore"
        )
    if not system_id.strip():
        raise ValueError(f"peer service {name!r} has a blank system id: give the id of the system")


class PeerResolver:
    """Maps the peer of a call to the system id in the entry.

    Attributes:
        known: The table, which the hot path reads itself.
    """

    __slots__ = ("known", "service_name")

    def __init__(self, service_name: str, peer_services: Mapping[str, str]) -> None:
        self.service_name = service_name
        self.known: dict[object, str] = {
            system_id: system_id for system_id in peer_services.values()
        }
        self.known.update(peer_services)
        self.known.update(dict.fromkeys((service_name, INTERNAL, None, ""), service_name))

    def names(self) -> list[str]:
        """Return the names of the defined peers."""
        return sorted(str(name) for name in self.known if name and name != self.service_name)
