"""Peer services as attributes, and their resolution to system ids."""

import copy
import pickle

import pytest

from sovdev_logger import create_peer_services
from sovdev_logger._entry.peers import PeerResolver


def test_a_peer_is_its_own_name() -> None:
    peer = create_peer_services({"BRREG": "SYS1234567"})
    assert peer.BRREG == "BRREG"
    assert peer["BRREG"] == "BRREG"
    assert peer.INTERNAL == "INTERNAL"
    assert peer["INTERNAL"] == "INTERNAL"
    assert peer.mappings == {"BRREG": "SYS1234567"}


def test_a_mistyped_peer_names_those_that_exist() -> None:
    peer = create_peer_services({"BRREG": "SYS1", "ALTINN": "SYS2"})
    with pytest.raises(AttributeError, match=r"'BREG'.*BRREG, ALTINN, INTERNAL"):
        _ = peer.BREG
    with pytest.raises(KeyError, match="BRREG, ALTINN, INTERNAL"):
        _ = peer["BREG"]


def test_a_name_that_is_no_identifier_is_served_by_item_access() -> None:
    peer = create_peer_services({"my-queue": "SYS3", "class": "SYS4"})
    assert peer["my-queue"] == "my-queue"
    assert peer["class"] == "class"


@pytest.mark.parametrize("name", ["mappings", "INTERNAL", "", "  ", "_private", "__class__"])
def test_names_that_are_taken_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be named"):
        create_peer_services({name: "SYS1"})


def test_a_blank_system_id_is_refused() -> None:
    with pytest.raises(ValueError, match="'BRREG' has a blank system id"):
        create_peer_services({"BRREG": " "})


@pytest.mark.parametrize("definitions", [["BRREG"], "BRREG", None, {"BRREG": 1}, {1: "SYS1"}])
def test_wrong_types_are_refused(definitions: object) -> None:
    with pytest.raises(TypeError, match="system id"):
        create_peer_services(definitions)  # type: ignore[arg-type]


def test_peers_cannot_be_changed() -> None:
    given = {"BRREG": "SYS1"}
    peer = create_peer_services(given)
    given["LATER"] = "SYS2"
    peer.mappings["LATER"] = "SYS2"
    with pytest.raises(AttributeError, match="create_peer_services"):
        peer.LATER = "SYS2"
    assert list(peer) == ["BRREG", "INTERNAL"]
    assert len(peer) == 2
    assert "LATER" not in peer
    assert "INTERNAL" in peer


def test_peers_survive_copying_and_pickling() -> None:
    peer = create_peer_services({"BRREG": "SYS1"})
    assert pickle.loads(pickle.dumps(peer)).BRREG == "BRREG"  # noqa: S301
    assert copy.deepcopy(peer).mappings == {"BRREG": "SYS1"}
    assert repr(peer) == "PeerServices({'BRREG': 'SYS1'})"
    assert "BRREG" in dir(peer)


def test_resolution_knows_names_ids_and_the_service_itself() -> None:
    known = PeerResolver("orders", {"BRREG": "SYS1"}).known
    assert known["BRREG"] == "SYS1"
    assert known["SYS1"] == "SYS1"
    assert {known[name] for name in ("INTERNAL", None, "", "orders")} == {"orders"}


def test_the_names_for_a_warning_are_sorted() -> None:
    assert PeerResolver("orders", {"B": "S1", "A": "S2"}).names() == [
        "A",
        "B",
        "INTERNAL",
        "S1",
        "S2",
    ]
