"""Damage in the spool's files: what it costs, and what becomes of the file."""

import shutil
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._delivery.ledger import Ledger
from sovdev_logger._delivery.spool.segment import Segment
from sovdev_logger._delivery.spool.spool import Spool
from sovdev_logger._settings.delivery import SpoolSettings

ITEMS = 300
IN_A_BLOCK = 10
MB = 1024 * 1024
WRITTEN_BY_1 = Path(__file__).parents[1] / "data" / "spool-1"


class Taken:
    """What a process finds in a spool, takes, and leaves behind."""

    def __init__(self, folder: Path, at_most: int = 50) -> None:
        self.folder = folder
        self.ledger = Ledger()
        spool = Spool(SpoolSettings(folder, MB), "log-entries", self.ledger)
        spool.recover()
        self.items: list[bytes] = []
        self.contexts: set[bytes] = set()
        for _ in range(1000):
            spooled = spool.take(at_most, MB)
            if spooled is None:
                break
            self.items += spooled.items
            self.contexts.add(spooled.context)
            self.ledger.record(delivered=len(spooled.items), spooled=-len(spooled.items))
            spool.done(spooled, len(spooled.items))
        else:
            pytest.fail("it takes and takes")
        spool.close()

    @property
    def dropped(self) -> int:
        assert set(self.ledger.counts.dropped) <= {"spool unreadable"}
        return sum(self.ledger.counts.dropped.values())

    @property
    def kept(self) -> list[Path]:
        return sorted((self.folder / "damaged").glob("*"))

    @property
    def left(self) -> list[Path]:
        return sorted(self.folder.glob("log-entries/*/*.segment*"))


def written(folder: Path, count: int = ITEMS) -> Path:
    spool = Spool(SpoolSettings(folder, MB), "log-entries", Ledger())
    for first in range(0, count, IN_A_BLOCK):
        spool.append(numbered(range(first, first + IN_A_BLOCK)), b"the context")
    spool.close()
    [path] = folder.glob("log-entries/*/*.segment2")
    return path


def numbered(numbers: range) -> list[bytes]:
    return [b"item %d" % number for number in numbers]


def flipped(data: bytes, offset: int, bit: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :]


def read_all(segment: Segment) -> tuple[list[bytes], int]:
    """Return what a segment gives, and how many items it says are lost."""
    items: list[bytes] = []
    missing = 0
    for _ in range(100):
        taken, lost = segment.take(200, MB)
        missing += lost
        if not taken:
            return items, missing
        items += [item for block in taken for item in block.items]
        segment.settle(taken)
    pytest.fail("it gives and gives")


def check_flips(path: Path, offsets: Iterable[int], bits: Iterable[int]) -> Iterator[list[bytes]]:
    """Flip bits of a segment, one at a time; yield the items that each flip costs."""
    data = path.read_bytes()
    whole = set(numbered(range(ITEMS)))
    for offset in offsets:
        for bit in bits:
            where = f"bit {bit} of byte {offset}"
            path.write_bytes(flipped(data, offset, bit))
            segment = Segment(path)
            segment.scan()
            assert segment.context == b"the context", where
            assert segment.pending == ITEMS, where
            items, missing = read_all(segment)
            assert len(set(items)) == len(items) == ITEMS - missing, where
            assert set(items) <= whole, where
            assert segment.pending == 0, where
            assert segment.is_damaged >= bool(missing), where
            lost = sorted(whole - set(items))
            assert len({int(item.split()[1]) // IN_A_BLOCK for item in lost}) <= 1, where
            yield lost


def test_a_flipped_bit_anywhere_costs_one_block_at_most(
    tmp_path: Path, sized: Callable[..., Any]
) -> None:
    path = written(tmp_path / "spool")
    step, bits = sized((11, (3,)), full=(1, (0, 4, 7)))
    costs = list(check_flips(path, range(0, path.stat().st_size, step), bits))
    assert {len(cost) for cost in costs} == {0, IN_A_BLOCK}


def test_a_flipped_bit_is_counted_and_the_file_is_kept(
    tmp_path: Path, sized: Callable[..., Any]
) -> None:
    path = written(tmp_path / "spool")
    data = path.read_bytes()
    for offset in range(0, len(data), sized(211, full=31)):
        shutil.rmtree(tmp_path / "spool")
        path.parent.mkdir(parents=True)
        path.write_bytes(flipped(data, offset, 1))
        taken = Taken(tmp_path / "spool")
        lost = ITEMS - len(taken.items)
        counts = taken.ledger.counts
        assert (counts.recovered, taken.dropped, counts.spooled) == (ITEMS, lost, 0), offset
        assert taken.left == [], offset
        assert len(taken.kept) == bool(lost), offset


@pytest.mark.parametrize("size", [1, 100, 512, 1000, 2500])
def test_a_hole_costs_what_was_in_it(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "spool")
    data = path.read_bytes()
    for offset in (60, 61, 700, 2000, len(data) - size - 700):
        path.write_bytes(data[:offset] + bytes(size) + data[offset + size :])
        segment = Segment(path)
        segment.scan()
        items, missing = read_all(segment)
        assert (segment.context, len(items)) == (b"the context", ITEMS - missing)
        assert missing <= IN_A_BLOCK * (3 + size // 150)
        assert segment.is_damaged >= bool(missing)


def test_zeros_at_the_end_are_not_taken_for_a_torn_block(tmp_path: Path) -> None:
    path = written(tmp_path / "spool")
    path.write_bytes(path.read_bytes() + bytes(4096))
    taken = Taken(tmp_path / "spool")
    assert (len(taken.items), taken.dropped, len(taken.kept)) == (ITEMS, 0, 1)


def test_text_that_looks_like_a_block_is_not_one(tmp_path: Path) -> None:
    inner = written(tmp_path / "inner", 10).read_bytes()
    folder = tmp_path / "spool"
    spool = Spool(SpoolSettings(folder, MB), "log-entries", Ledger())
    spool.append([b"before"], b"c")
    spool.append([inner[60:] * 3, b"beside"], b"c")
    spool.append([b"after"], b"c")
    spool.close()
    taken = Taken(folder, 1)
    assert taken.items == [b"before", inner[60:] * 3, b"beside", b"after"]


def test_a_damaged_context_costs_the_file_and_the_file_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "spool")
    path.write_bytes(path.read_bytes().replace(b"the context", b"the c0ntext"))
    data = path.read_bytes()
    taken = Taken(tmp_path / "spool")
    assert (taken.items, taken.dropped) == ([], ITEMS)
    assert taken.ledger.counts.recovered == ITEMS
    assert [kept.read_bytes() for kept in taken.kept] == [data]
    assert taken.left == []
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert path.name in said
    assert f"{ITEMS} log-entries" in said
    assert str(tmp_path / "spool" / "damaged") in said


def test_somebodys_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "spool")
    path.with_name("000000000000.segment").write_bytes(b"somebody's file")
    taken = Taken(tmp_path / "spool")
    assert len(taken.items) == ITEMS
    assert [kept.read_bytes() for kept in taken.kept] == [b"somebody's file"]
    assert "an unknown number of log-entries" in capsys.readouterr().err


@pytest.mark.parametrize("length", [0, 3, 15, 20, 23, 30, 34, 50, 67])
@pytest.mark.parametrize("version", [1, 2])
def test_a_file_that_was_being_made_holds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int, version: int
) -> None:
    path = written(tmp_path / "spool")
    if version == 1:
        [other] = (WRITTEN_BY_1 / "complete").rglob("*.segment")
        data = other.read_bytes()[: min(length, 30)]
        path.unlink()
        path.with_suffix(".segment").write_bytes(data)
    else:
        path.write_bytes(path.read_bytes()[:length])
    taken = Taken(tmp_path / "spool")
    assert (taken.items, taken.dropped, taken.kept, taken.left) == ([], 0, [], [])
    assert capsys.readouterr().err == ""


def test_damaged_files_make_room_for_entries(tmp_path: Path) -> None:
    path = written(tmp_path / "spool")
    path.write_bytes(path.read_bytes().replace(b"item 5item 6", b"item Xitem 6"))
    [kept] = Taken(tmp_path / "spool").kept
    kept.write_bytes(bytes(20_000))
    spool = Spool(SpoolSettings(tmp_path / "spool", 64 * 1024), "log-entries", Ledger())
    spool.recover()
    assert spool.append([b"x" * 1000] * 50, b"") == 50
    spool.close()
    assert list((tmp_path / "spool" / "damaged").iterdir()) == []


def test_a_loss_is_counted_once_although_the_process_ends_in_between(tmp_path: Path) -> None:
    path = written(tmp_path / "spool")
    path.write_bytes(path.read_bytes().replace(b"item 5item 6", b"item Xitem 6"))
    ledger = Ledger()
    spool = Spool(SpoolSettings(tmp_path / "spool", MB), "log-entries", ledger)
    spool.recover()
    spooled = spool.take(10, MB)
    assert spooled is not None
    assert spooled.items == numbered(range(10, 20))
    spool.done(spooled, 10)
    spool.close()
    assert ledger.counts.dropped == {"spool unreadable": 10}
    taken = Taken(tmp_path / "spool")
    assert (taken.ledger.counts.recovered, taken.dropped) == (ITEMS - 20, 0)
    assert (len(taken.items), len(taken.kept)) == (ITEMS - 20, 1)


@pytest.mark.parametrize(
    ("name", "expected", "contexts"),
    [
        ("complete", range(20), {b"context"}),
        ("done", range(8, 20), {b"context"}),
        ("torn", range(16), {b"context"}),
        ("several", range(16), {b"one", b"two"}),
    ],
)
def test_what_version_0_1_0_left_is_taken(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    expected: range,
    contexts: set[bytes],
) -> None:
    shutil.copytree(WRITTEN_BY_1 / name, tmp_path / "spool")
    taken = Taken(tmp_path / "spool", at_most=4)
    assert taken.items == numbered(expected)
    assert taken.contexts == contexts
    assert taken.ledger.counts.recovered == len(expected)
    assert (taken.dropped, taken.kept, taken.left) == (0, [], [])
    assert capsys.readouterr().err == ""


def test_a_process_that_ends_leaves_the_rest_of_version_0_1_0_to_the_next(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN_BY_1 / "complete", tmp_path / "spool")
    spool = Spool(SpoolSettings(tmp_path / "spool", MB), "log-entries", Ledger())
    spool.recover()
    spooled = spool.take(8, MB)
    assert spooled is not None
    spool.done(spooled, 8)
    spool.close()
    assert Taken(tmp_path / "spool").items == numbered(range(8, 20))


def test_a_flipped_bit_in_a_file_of_version_0_1_0_costs_one_block_at_most(
    tmp_path: Path, sized: Callable[..., Any]
) -> None:
    [path] = (WRITTEN_BY_1 / "complete").rglob("*.segment")
    data = path.read_bytes()
    head = len(b"sovdev-spool-1\n") + 8 + len(b"context")
    copy = tmp_path / path.name
    whole = set(numbered(range(20)))
    silent = 0
    for offset in range(head, len(data)):
        for bit in sized((0, 5), full=range(8)):
            copy.write_bytes(flipped(data, offset, bit))
            segment = Segment(copy)
            segment.scan()
            known = segment.pending
            items, missing = read_all(segment)
            assert set(items) <= whole
            assert len(items) + missing == known
            assert len(items) >= 16
            assert segment.is_damaged >= bool(missing)
            # A block that becomes a done one is gone: nothing protects its state.
            silent += known < 20
    assert silent == 5


@pytest.mark.parametrize("offset", range(30))
def test_a_flipped_bit_in_the_head_of_a_file_of_version_0_1_0_keeps_it(
    tmp_path: Path, offset: int
) -> None:
    shutil.copytree(WRITTEN_BY_1 / "complete", tmp_path / "spool")
    [path] = (tmp_path / "spool").rglob("*.segment")
    damaged = flipped(path.read_bytes(), offset, 1)
    path.write_bytes(damaged)
    taken = Taken(tmp_path / "spool")
    assert taken.items == []
    if offset == 13:  # it became the file of a version 3
        assert [left.read_bytes() for left in taken.left] == [damaged]
    else:
        assert (taken.ledger.counts.recovered, taken.dropped) == (20, 20)
        assert [kept.read_bytes() for kept in taken.kept] == [damaged]


@pytest.mark.parametrize("name", ["500000000001.segment3", "500000000001.segment2"])
def test_the_file_of_a_newer_version_waits_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = tmp_path / "spool"
    path = written(folder)
    data = path.read_bytes()
    newer = data.replace(b"sovdev-spool-2\n", b"sovdev-spool-3 with a moustache\n")
    path.unlink()
    path = path.with_name(name)
    path.write_bytes(newer)
    written_by_2 = Spool(SpoolSettings(folder, MB), "log-entries", Ledger())
    written_by_2.append([b"ours"], b"")
    written_by_2.close()
    for _ in range(2):
        taken = Taken(folder)
        assert path.read_bytes() == newer
        assert taken.kept == []
        assert taken.dropped == taken.ledger.counts.spooled == 0
        assert "newer version" in str(taken.ledger.last_error)
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert f"1 files with log-entries ({len(newer)} bytes)" in said
    assert "format 3 with a moustache" in said
    # The newer version, back again.
    path.unlink()
    path.with_name("500000000001.segment2").write_bytes(data)
    assert len(Taken(folder).items) == ITEMS


def test_many_files_of_a_newer_version_are_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "spool"
    path = written(folder)
    data = path.read_bytes().replace(b"sovdev-spool-2\n", b"sovdev-spool-3\n")
    path.unlink()
    for number in range(10):
        path.with_name(f"{number:012d}.segment3").write_bytes(data)
    spool = Spool(SpoolSettings(folder, MB), "log-entries", Ledger())
    spool.recover()
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert f"10 files with log-entries ({10 * len(data)} bytes)" in said
    for other in path.parent.glob("*.segment3"):
        other.unlink()
    path.with_name("000000000001.segment3").write_bytes(data)
    spool.recover()
    assert f"1 files with log-entries ({len(data)} bytes)" in capsys.readouterr().err
    spool.close()


@given(
    version=st.sampled_from([1, 2]),
    damage=st.lists(st.tuples(st.integers(0, 5400), st.binary(max_size=300)), max_size=4),
    cut=st.integers(0, 6000),
)
def test_whatever_is_in_a_file_it_is_read_to_its_end(
    tmp_path_factory: pytest.TempPathFactory,
    version: int,
    damage: list[tuple[int, bytes]],
    cut: int,
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    path = written(folder)
    if version == 1:
        [other] = (WRITTEN_BY_1 / "complete").rglob("*.segment")
        shutil.copy(other, path.with_suffix(".segment"))
        path.unlink()
        path = path.with_suffix(".segment")
    data = bytearray(path.read_bytes())
    for offset, new in damage:
        data[offset : offset + len(new)] = new
    path.write_bytes(data[:cut])
    taken = Taken(folder)
    assert set(taken.items) <= set(numbered(range(ITEMS)))
    assert len(taken.items) + taken.dropped == taken.ledger.counts.recovered <= 4 * 10**9
    assert taken.ledger.counts.spooled == 0


def test_a_large_context_is_found_again(tmp_path: Path) -> None:
    context = bytes(range(256)) * 2000
    spool = Spool(SpoolSettings(tmp_path / "spool", 100 * MB), "log-entries", Ledger())
    spool.append([b"item"], context)
    spool.close()
    taken = Taken(tmp_path / "spool")
    assert (taken.items, taken.contexts) == ([b"item"], {context})


def test_a_length_that_is_wrong_allocates_no_memory(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN_BY_1 / "complete", tmp_path / "spool")
    [path] = (tmp_path / "spool").rglob("*.segment")
    data = path.read_bytes()
    at = len(b"sovdev-spool-1\n")
    path.write_bytes(data[:at] + b"\xff" * 4 + data[at + 4 :])
    tracemalloc.start()
    taken = Taken(tmp_path / "spool")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken.dropped == 20
    assert peak < 10 * MB
