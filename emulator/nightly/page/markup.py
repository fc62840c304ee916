"""Small pieces of HTML; whatever comes from data is escaped here and nowhere else."""

import itertools
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

_SCHEMES = ("", "http", "https")


def text(value: object) -> str:
    """Return a value as text that a browser takes for text, in attributes too."""
    return escape(str(value), quote=True)


def link(label: str, href: str) -> str:
    """Return a link.

    Raises:
        ValueError: If ``href`` is neither relative nor http(s): a browser would run
            ``javascript:``.
    """
    if urlsplit(href.strip()).scheme.lower() not in _SCHEMES:
        raise ValueError(
            f"The link {label!r} leads to {href!r}; the page takes relative paths and "
            f"http(s) addresses only."
        )
    return f'<a href="{text(href)}">{text(label)}</a>'


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    words: int = 1,
) -> str:
    """Return a table that scrolls by itself on a narrow screen.

    Args:
        caption: What the table is, also its name for screen readers.
        head: Names of the columns; the first column names the rows.
        rows: Cells, as plain values.
        words: So many columns, the first ones, hold words; the others numbers.
    """
    kinds = ["" if i < words else ' class="number"' for i in range(len(head))]
    columns = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>'
        for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(
            f"<td{kind}>{text(cell)}</td>"
            for cell, kind in zip(rest, kinds[1:], strict=True)
        )
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}">'
        f"<table><caption>{text(caption)}</caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and values; the values are HTML already."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in pairs)
    return f'<dl class="facts">{rows}</dl>'


def from_markdown(source: str, name: str) -> str:
    """Return Markdown as HTML, without raw HTML, pictures and YAML head.

    Args:
        source: The text, e.g. of a model card.
        name: What it is, for screen readers.
    """
    if source.startswith("---\n"):
        source = source.partition("\n---\n")[2]
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable("image")  # the page asks for nothing outside of it
    count = itertools.count(1)
    parser.add_render_rule(
        "table_open",
        lambda *_: (
            f'<div class="scroll" role="region" tabindex="0" '
            f'aria-label="Table {next(count)} of {text(name)}"><table>'
        ),
    )
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    tokens = parser.parse(source)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            # The card stands below a heading of the third level.
            token.tag = f"h{min(int(token.tag[1]) + 3, 6)}"
    return str(parser.renderer.render(tokens, parser.options, {}))
