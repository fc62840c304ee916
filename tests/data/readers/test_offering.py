"""The table of product readers: known to entries, to settings and to variables."""

from typing import get_args

from emulator.carbon.variables import VARIABLES
from emulator.data.entry import ReaderName
from emulator.data.readers import READERS
from emulator.data.readers.offering import PRODUCTS


def test_every_reader_can_be_named_in_an_entry() -> None:
    assert set(READERS) <= set(get_args(ReaderName))
    assert set(PRODUCTS) < set(READERS)


def test_products_tell_canonical_variables() -> None:
    for name, product in PRODUCTS.items():
        assert product.variables, name
        assert set(product.variables) <= set(VARIABLES), name
