import subprocess
import sys

import pytest

import emulator


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, emulator; "
        "heavy = {'numpy', 'torch', 'xarray', 'hydra'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["budget", "open_run", "open_sink"])
def test_public_functions_are_there(name: str) -> None:
    assert callable(getattr(emulator, name))
    assert name in dir(emulator)
    assert name in emulator.__all__


def test_version_is_that_of_the_distribution() -> None:
    assert emulator.__version__.split(".")[0].isdigit()


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sink'"):
        _ = emulator.sink
