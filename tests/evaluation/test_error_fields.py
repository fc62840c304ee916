"""Error fields that are none; that they sum and come back, `test_origins` shows."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import CheckpointError
from emulator.evaluation.error_fields import read_errors


def test_other_error_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration_errors.npz"
    with pytest.raises(CheckpointError, match="holds no error fields"):
        read_errors(path)
    np.savez(path, months=np.arange(3))
    with pytest.raises(CheckpointError, match="holds no error fields"):
        read_errors(path)
