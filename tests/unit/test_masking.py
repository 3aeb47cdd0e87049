"""Each row of the tables of masks: its example is what it matches, and is masked by its name."""

import pytest

from sovdev_logger._sampling import masking

TABLES = {
    "with dashes": (masking.WITH_DASHES, masking._WITH_DASHES),
    "with dots": (masking.WITH_DOTS, masking._WITH_DOTS),
    "with slashes": (masking.WITH_SLASHES, masking._WITH_SLASHES),
    "with colons": (masking.WITH_COLONS, masking._WITH_COLONS),
    "plain": (masking.PLAIN, masking._PLAIN),
}
ROWS = [
    pytest.param(table, number, id=f"{table}: {mask.example}")
    for table, (masks, _) in TABLES.items()
    for number, mask in enumerate(masks)
]


@pytest.mark.parametrize(("table", "number"), ROWS)
def test_an_example_is_matched_by_its_own_row(table: str, number: int) -> None:
    masks, joined = TABLES[table]
    mask = masks[number]
    match = joined.search(mask.example)
    assert match is not None
    assert match.lastgroup == f"{mask.name}_{number}"
    assert match.end() == len(mask.example)


@pytest.mark.parametrize(("table", "number"), ROWS)
def test_an_example_is_masked(table: str, number: int) -> None:
    mask = TABLES[table][0][number]
    before = mask.example[0] if not mask.start and mask.example[0].isalpha() else ""
    assert masking.replace_values(mask.example) == before + mask.name


@pytest.mark.parametrize(("table", "number"), ROWS)
def test_what_stands_inside_of_a_word_is_no_value_of_that_form(table: str, number: int) -> None:
    masks, joined = TABLES[table]
    if masks[number].start:
        match = joined.match(f"x{masks[number].example}", 1)
        assert match is None or match.lastgroup != f"{masks[number].name}_{number}"
