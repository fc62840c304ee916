import pytest

from emulator.nightly.page import markup

EVIL = "<script>alert('x')</script> & \"quoted\""


def test_text_is_escaped() -> None:
    found = markup.text(EVIL)
    assert "<" not in found
    assert '"' not in found
    assert markup.text(3) == "3"


@pytest.mark.parametrize("href", ["../sink.nc", "https://example.org/a?b=1&c=2", "a b"])
def test_links_lead_to_files_and_pages(href: str) -> None:
    assert markup.link("A & B", href).endswith(">A &amp; B</a>")


@pytest.mark.parametrize("href", ["javascript:alert(1)", " JavaScript:x", "data:x,y"])
def test_links_that_run_code_are_refused(href: str) -> None:
    with pytest.raises(ValueError, match="relative paths and http"):
        markup.link("Map", href)


def test_table_escapes_every_part() -> None:
    found = markup.table(EVIL, ["Name", EVIL], [[EVIL, EVIL]])
    assert "<script" not in found
    assert found.count("&lt;script&gt;") == 5  # caption and its label, head, two cells


def test_table_tells_numbers_from_words() -> None:
    found = markup.table("T", ["Month", "What", "Land"], [["May", "new", 1]], words=2)
    assert '<td>new</td><td class="number">1</td>' in found


def test_markdown_becomes_harmless_html() -> None:
    card = (
        "---\nlicense: x\n---\n# Run <b>\n\n**Evidence: testbed.** "
        "![p](https://example.org/p.png) <img src=x onerror=y> "
        "[bad](javascript:alert)\n\n| a | b |\n|---|---|\n| 1 | <i> |\n"
    )
    found = markup.from_markdown(card, "land card")
    assert "license" not in found
    assert "<h4>Run &lt;b&gt;</h4>" in found
    assert "<strong>Evidence: testbed.</strong>" in found
    assert "<td>&lt;i&gt;</td>" in found
    for forbidden in ("<img", "<i>", 'href="javascript'):
        assert forbidden not in found
    assert 'role="region" tabindex="0" aria-label="Table 1 of land card"' in found
