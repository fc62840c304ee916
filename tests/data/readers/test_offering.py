"""The table of product readers: known to entries, to settings and to variables."""

from pathlib import Path
from typing import get_args

from emulator.carbon.variables import VARIABLES
from emulator.data.entry import ReaderName
from emulator.data.readers import READERS
from emulator.data.readers.offering import PRODUCTS, place_of


def test_every_reader_can_be_named_in_an_entry() -> None:
    assert set(READERS) <= set(get_args(ReaderName))
    assert set(PRODUCTS) < set(READERS)


def test_products_tell_canonical_variables() -> None:
    for name, product in PRODUCTS.items():
        assert product.variables, name
        assert set(product.variables) <= set(VARIABLES), name


def test_a_place_is_a_url_or_a_folder() -> None:
    assert place_of("gs://bucket/a.zarr", Path("/data")) == "gs://bucket/a.zarr"
    assert place_of("era5", Path("/data")) == "/data/era5"
    assert place_of("/mine/era5", Path("/data")) == "/mine/era5"
    assert place_of("~/era5") == str(Path.home() / "era5")
