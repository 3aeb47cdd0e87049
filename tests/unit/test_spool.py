"""The spool alone: order, bounds, owners, damage, and a disk that refuses."""

import errno
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._delivery.ledger import Ledger
from sovdev_logger._delivery.spool import folder as spool_folder
from sovdev_logger._delivery.spool import kept_files, reader
from sovdev_logger._delivery.spool.spool import Spool
from sovdev_logger._settings.delivery import SpoolSettings

KB = 1024


class Disk:
    """A spool folder, and the spools of several processes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger()

    def spool(self, max_bytes: int = 1024 * KB) -> Spool:
        return Spool(SpoolSettings(self.folder, max_bytes), "log-entries", self.ledger)

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.segment*"))

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "spool")


def take_all(spool: Spool, at_most: int = 100) -> list[bytes]:
    """Take and settle everything, so many records at a time."""
    items: list[bytes] = []
    while (spooled := spool.take(at_most, 1024 * KB)) is not None:
        items += spooled.items
        spool.done(spooled, len(spooled.items))
    return items


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"item %d" % number for number in range(start, start + count)]


def test_what_is_appended_is_taken_in_order_and_then_gone(disk: Disk) -> None:
    spool = disk.spool()
    assert spool.append(numbered(10), b"context") == 10
    assert spool.append(numbered(10, 10), b"context") == 10
    assert disk.ledger.counts.spooled == 20
    assert take_all(spool, at_most=10) == numbered(20)
    assert not spool
    assert disk.files() == []
    spool.close()
    assert list(disk.folder.glob("log-entries/*")) == []


def test_blocks_are_taken_together_up_to_the_bounds(disk: Disk) -> None:
    spool = disk.spool()
    for number in range(10):
        spool.append([b"x" * 100] * 3, b"")
        assert number < 10
    first = spool.take(7, 1024 * KB)
    assert first is not None
    assert len(first.items) == 6
    spool.done(first, 6)
    second = spool.take(100, 700)
    assert second is not None
    assert len(second.items) == 6
    spool.close()


def test_in_front_is_read_first(disk: Disk) -> None:
    spool = disk.spool()
    spool.append(numbered(5, 10), b"")
    spool.append(numbered(5, 5), b"", in_front=True)
    spool.append(numbered(5, 0), b"", in_front=True)
    spool.append(numbered(5, 15), b"")
    spool.close()
    another = disk.spool()
    another.recover()
    assert disk.ledger.counts.recovered == 20
    assert take_all(another) == numbered(20)
    another.close()


def test_a_context_has_a_file_of_its_own(disk: Disk) -> None:
    spool = disk.spool()
    spool.append([b"a"], b"one")
    spool.append([b"b"], b"two")
    found = []
    while (spooled := spool.take(10, KB)) is not None:
        found.append((spooled.items, spooled.context))
        spool.done(spooled, 1)
    assert found == [([b"a"], b"one"), ([b"b"], b"two")]
    spool.close()


def test_what_was_taken_in_parts_is_done_when_the_last_part_is(disk: Disk) -> None:
    spool = disk.spool()
    spool.append(numbered(10), b"")
    spooled = spool.take(10, KB)
    assert spooled is not None
    spool.done(spooled, 4)
    assert len(disk.files()) == 1
    spool.done(spooled, 6)
    assert disk.files() == []
    spool.close()


def test_what_was_done_is_not_recovered(disk: Disk) -> None:
    spool = disk.spool()
    for number in range(5):
        spool.append([b"%d" % number], b"")
    for _ in range(2):
        spooled = spool.take(1, KB)
        assert spooled is not None
        spool.done(spooled, 1)
    spool.close()
    another = disk.spool()
    another.recover()
    assert take_all(another) == [b"2", b"3", b"4"]
    another.close()


def test_a_folder_has_one_owner(disk: Disk) -> None:
    owner, other = disk.spool(), disk.spool()
    owner.append([b"mine"], b"")
    other.recover()
    assert not other
    owner.close()
    other.recover()
    assert take_all(other) == [b"mine"]
    other.close()


def test_the_oldest_process_is_first(disk: Disk) -> None:
    for number in range(3):
        spool = disk.spool()
        spool.append([b"process %d" % number], b"")
        spool.close()
    spool = disk.spool()
    spool.recover()
    assert take_all(spool) == [b"process 0", b"process 1", b"process 2"]
    spool.close()


@given(sizes=st.lists(st.integers(1, 5 * KB), min_size=1, max_size=80), in_front=st.booleans())
def test_the_bound_holds_and_the_ledger_knows_what_went(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], in_front: bool
) -> None:
    disk = Disk(tmp_path_factory.mktemp("spool"))
    spool = disk.spool(max_bytes=64 * KB)
    written = 0
    for size in sizes:
        written += spool.append([b"x" * size], b"context", in_front=in_front)
        assert disk.size() <= 64 * KB
    counts = disk.ledger.counts
    assert written == len(sizes) == counts.spooled + sum(counts.dropped.values())
    assert set(counts.dropped) <= {"spool full"}
    assert len(take_all(spool)) == counts.spooled
    spool.close()


def test_what_is_too_large_for_the_whole_spool_stays_with_the_caller(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = disk.spool(max_bytes=64 * KB)
    assert spool.append([b"x" * 65 * KB], b"") == 0
    assert not spool.is_usable
    assert "is full" in capsys.readouterr().err
    spool.close()


def test_refused_requests_make_room_before_entries_do(disk: Disk) -> None:
    spool = disk.spool(max_bytes=64 * KB)
    for _ in range(3):
        folder = spool.set_aside(b"x" * 10 * KB, ".pb")
        assert folder is not None
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    spool.append([b"y" * 3 * KB] * 18, b"")
    assert disk.ledger.counts.spooled == 18
    assert len(list((disk.folder / "rejected").iterdir())) < 3
    assert disk.size() <= 64 * KB
    spool.close()


@pytest.mark.parametrize("call", ["open", "write", "mkdir", "listdir", "unlink"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_disk_that_refuses_raises_nothing_and_loses_nothing(
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
) -> None:
    spool = disk.spool()
    spool.append(numbered(5), b"")

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        written = spool.append(numbered(5, 5), b"another context")
        spool.set_aside(b"refused", ".pb")
        spool.recover()
    spool.append(numbered(10, 5)[written:], b"another context")
    received = take_all(spool)
    assert received[:5] == numbered(5)
    assert set(numbered(15)) >= set(received)
    counts = disk.ledger.counts
    assert counts.spooled + sum(counts.dropped.values()) == 15
    spool.close()


def test_half_a_block_is_taken_back(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = disk.spool()
    spool.append([b"first"], b"")
    write = os.write
    left = [1]

    def half(descriptor: int, data: bytes) -> int:
        if left:
            left.pop()
            return write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        assert spool.append([b"torn"], b"") == 0
    assert spool.append([b"second"], b"") == 1
    assert take_all(spool) == [b"first", b"second"]
    spool.close()


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_file_that_was_cut_off_anywhere_gives_whole_blocks_only(disk: Disk, cut: int) -> None:
    spool = disk.spool()
    for number in range(4):
        spool.append([b"block %d" % number] * 2, b"context")
    spool.close()
    [path] = disk.files()
    path.write_bytes(path.read_bytes()[:cut])
    another = disk.spool()
    another.recover()
    received = take_all(another)
    assert received == [b"block %d" % (number // 2) for number in range(len(received))]
    assert disk.ledger.counts.recovered == len(received)
    another.close()


def test_a_wrong_checksum_costs_its_block_and_is_counted(disk: Disk) -> None:
    spool = disk.spool()
    for number in range(4):
        spool.append([b"block %d" % number], b"context")
    spool.close()
    [path] = disk.files()
    path.write_bytes(path.read_bytes().replace(b"block 2", b"block X"))
    another = disk.spool()
    another.recover()
    assert take_all(another) == [b"block 0", b"block 1", b"block 3"]
    assert disk.ledger.counts.dropped == {"spool unreadable": 1}
    another.close()


def test_without_a_folder_to_make_one_in_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    disk = Disk(tmp_path / "spool")
    spool = disk.spool()
    spool.recover()
    assert spool.append([b"x"], b"") == 0
    said = capsys.readouterr().err
    assert "SOVDEV_SPOOL_DIR" in said
    spool.close()


def test_a_forked_child_closes_the_parents_locks(disk: Disk) -> None:
    spool = disk.spool()
    spool.append([b"the parent's"], b"")
    assert spool._own is not None
    descriptor = spool._own._lock._descriptor
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            os.fstat(descriptor)
            os.write(writer, b"open ")
        spool.close()  # must not unlock what the parent holds
        other = Disk(disk.folder).spool()
        other.recover()
        os.write(writer, b"%d" % bool(other))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"0"
    os.close(reader)
    os.close(writer)
    assert take_all(spool) == [b"the parent's"]
    spool.close()


def test_an_empty_folder_that_another_takes_for_abandoned_is_made_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[[Path], Any] = spool_folder.try_lock
    refusals = [1]

    def refuse_once(path: Path) -> Any:
        return None if refusals and refusals.pop() else original(path)

    monkeypatch.setattr(spool_folder, "try_lock", refuse_once)
    spool = disk.spool()
    assert spool.append([b"x"], b"") == 1
    spool.close()


def test_no_more_refused_requests_are_kept_than_people_look_at(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files, "MAX_FILES", 5)
    spool = disk.spool()
    for number in range(12):
        spool.set_aside(b"%d" % number, ".pb")
    kept = sorted(int(path.read_bytes()) for path in (disk.folder / "rejected").iterdir())
    assert kept == [7, 8, 9, 10, 11]
    spool.close()


def test_the_ledger_is_never_below_zero_while_a_full_spool_makes_room(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    record = Ledger.record

    def watched(self: Ledger, **change: Any) -> None:
        record(self, **change)
        seen.append(self.counts.spooled)

    monkeypatch.setattr(Ledger, "record", watched)
    spool = disk.spool(max_bytes=64 * KB)
    spool.append([b"x" * KB] * 200, b"")
    assert min(seen) >= 0
    assert disk.ledger.counts.dropped["spool full"] > 100
    spool.close()


def test_one_output_leaves_room_for_another(disk: Disk) -> None:
    entries = disk.spool(max_bytes=64 * KB)
    entries.append([b"x" * KB] * 100, b"")
    spans = Spool(SpoolSettings(disk.folder, 64 * KB), "spans", Ledger())
    assert spans.append([b"y" * KB] * 5, b"") == 5
    assert disk.size() <= 64 * KB
    for spool in (entries, spans):
        spool.close()


@pytest.mark.parametrize("what", ["a folder", "a link", "a broken link", "a file that stays"])
def test_what_others_put_into_rejected_does_not_make_a_full_spool_unusable(
    disk: Disk, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = disk.spool(max_bytes=64 * KB)
    for _ in range(3):
        spool.set_aside(b"x" * 10 * KB, ".pb")
    theirs = disk.folder / "rejected" / "theirs"
    if what == "a folder":
        theirs.mkdir()
        (theirs / "large").write_bytes(bytes(100 * KB))
    elif what == "a file that stays":
        theirs.write_bytes(bytes(KB))
        unlink = os.unlink

        def refuse(path: Any, **options: Any) -> None:
            if os.fspath(path) == str(theirs):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            unlink(path, **options)

        monkeypatch.setattr(os, "unlink", refuse)
    else:
        theirs.symlink_to(disk.folder if what == "a link" else disk.folder / "nothing")
    os.utime(theirs, (0, 0), follow_symlinks=False)
    for number in range(100):
        assert spool.append([b"%d" % number + b"y" * KB], b"") == 1
    assert spool.set_aside(b"x", ".pb") is not None
    assert spool.is_usable
    assert "cannot" not in capsys.readouterr().err
    assert theirs.exists() == (what in {"a folder", "a file that stays"})
    spool.close()
    monkeypatch.undo()


def test_a_copy_of_a_rejected_request_drops_no_entries(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = disk.spool(max_bytes=64 * KB)
    assert spool.append([b"x" * KB] * 48, b"") == 48
    assert spool.set_aside(b"x" * 20 * KB, ".pb") is None
    assert spool.set_aside(b"x" * 5 * KB, ".pb") is not None
    assert spool.is_usable
    assert not disk.ledger.counts.dropped
    assert "cannot set aside" in capsys.readouterr().err
    spool.close()


def test_a_block_that_cannot_be_marked_is_not_taken_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = disk.spool()
    for number in range(3):
        spool.append(numbered(10, 10 * number), b"")

    def refuse(*_: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "lseek", refuse)
        first = spool.take(10, KB)
        assert first is not None
        spool.done(first, 10)
        second = spool.take(10, KB)
        assert second is not None
        assert second.items == numbered(10, 10)
        spool.done(second, 10)
        spool.close()
    # They could not be marked to the end, so the next process sends them again.
    assert disk.ledger.counts.repeated == 20
    another = disk.spool()
    another.recover()
    assert take_all(another) == numbered(30)
    another.close()


def test_a_failed_write_in_front_leaves_no_file_behind(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sovdev_logger._delivery.spool.spool._PAUSE_AFTER_FAILURE_SECONDS", 0.0)
    spool = disk.spool()
    spool.append([b"older"], b"")
    write = os.write

    def refuse(descriptor: int, data: bytes) -> int:
        if len(data) > KB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        for _ in range(10):
            assert spool.append([b"x" * 2 * KB], b"", in_front=True) == 0
            assert spool.hold([b"x" * 2 * KB], b"") is None
    assert len(disk.files()) == 1
    assert take_all(spool) == [b"older"]
    spool.close()


def test_folders_that_may_not_be_read_are_left_to_their_owners(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = [disk.folder / "lost+found", disk.folder / "log-entries" / "0-of-another-user"]
    for folder in theirs:
        folder.mkdir(parents=True)

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(path: Any, *arguments: Any, **options: Any) -> Any:
            if str(path).startswith(tuple(map(str, theirs))):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return call(path, *arguments, **options)

        return guarded

    for name in ("open", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    spool = disk.spool()
    spool.recover()
    assert spool.due_at == float("inf")
    assert spool.append(numbered(10), b"") == 10
    assert take_all(spool) == numbered(10)
    spool.close()
    assert capsys.readouterr().err == ""
    monkeypatch.undo()


def test_folders_of_ended_processes_do_not_use_up_the_descriptors(disk: Disk) -> None:
    """Each lock is a descriptor: jobs that ended while the server was down left a folder each."""
    for number in range(3 * reader.MAX_FOLDERS + 1):
        spool = disk.spool()
        spool.append([b"job %d" % number], b"")
        spool.close()
    spool = disk.spool()
    before = len(os.listdir("/dev/fd"))
    spool.recover()
    items, most = [], 0
    while (spooled := spool.take(100, 1024 * KB)) is not None:
        most = max(most, len(os.listdir("/dev/fd")) - before)
        items += spooled.items
        spool.done(spooled, len(spooled.items))
    assert items == [b"job %d" % number for number in range(3 * reader.MAX_FOLDERS + 1)]
    assert most <= reader.MAX_FOLDERS
    assert not spool.has_more
    assert spool.due_at == math.inf
    spool.close()


def test_folders_that_cannot_be_emptied_are_not_looked_at_for_ever(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(reader.MAX_FOLDERS + 1):
        spool = disk.spool()
        spool.append([b"job %d" % number], b"")
        spool.close()
    spool = disk.spool()
    spool.recover()

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert len(take_all(spool)) == reader.MAX_FOLDERS
        assert spool.due_at == math.inf
    spool.recover()
    assert len(take_all(spool)) <= 1
    spool.close()


def test_nothing_is_added_to_a_folder_whose_lock_somebody_removed(disk: Disk) -> None:
    """Another process takes it over, sends what it finds, and removes the file."""
    spool, other = disk.spool(), disk.spool()
    spool.append([b"before"], b"")
    (owner,) = disk.folder.rglob("owner")
    owner.unlink()
    other.recover()
    spool.append([b"afterwards"], b"")
    assert take_all(other) == [b"before"]
    assert b"afterwards" in take_all(spool)
    spool.close()
    other.close()


def test_an_empty_folder_that_another_removes_as_abandoned_is_made_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []
    lock = spool_folder.try_lock

    def remove_first(path: Path) -> Any:
        if not removed:
            removed.append(path)
            path.rmdir()
        return lock(path)

    monkeypatch.setattr(spool_folder, "try_lock", remove_first)
    spool = disk.spool()
    assert spool.append([b"x"], b"") == 1
    assert removed
    spool.close()
