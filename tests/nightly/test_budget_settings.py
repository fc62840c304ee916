import pytest

from emulator.carbon.errors import SettingsError
from emulator.nightly.budget_settings import AdjustmentSettings, BudgetSettings


def test_nothing_is_adjusted_by_default() -> None:
    settings = BudgetSettings()
    assert settings.adjustment.target == "off"
    assert settings.definition == "unadjusted"


def test_members_are_those_of_the_domain() -> None:
    settings = AdjustmentSettings(land_members=["A"], ocean_members=["C"])
    assert settings.members_of("land") == ["A"]
    assert settings.members_of("ocean") == ["C"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": "mean"}, r"target is 'mean', but must be one of off, ensemble"),
        ({"window": 5}, r"window 5, but windows have 2 years or more, and the one"),
        ({"windows": [], "window": 4}, r"windows is \[\] and adjustment.window 4"),
        ({"windows": [1, 4], "window": 4}, r"windows have 2 years or more"),
        ({"windows": [4, 4], "window": 4}, r"each must occur once"),
    ],
)
def test_impossible_adjustment_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        AdjustmentSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"definition": "gcb2023"},
            r"definition is 'gcb2023', but must be one of unad",
        ),
        ({"simulation": "S1"}, r"simulation is 'S1', but must be one of S2, S3"),
        ({"references": [[1991]]}, r"references holds \[1991\], but a period is"),
        ({"references": [[2000, 1991]]}, r"references holds \[2000, 1991\]"),
        ({"growth_years": 0}, r"growth_years is 0 and budget.longest 3"),
        ({"longest": -1}, r"budget.longest -1, but at least 1 and 0"),
        (
            {"adjustment": AdjustmentSettings(target="own")},
            r"target is 'own', a column of a workbook, but none is given",
        ),
        (
            {
                "adjustment": AdjustmentSettings(target="published"),
                "definition": "gcb2025",
                "workbook": "book.xlsx",
            },
            r"definition is .gcb2025.: the change would be made twice",
        ),
    ],
)
def test_impossible_budget_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BudgetSettings(**wrong)
