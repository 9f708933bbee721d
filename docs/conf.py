"""Configuration of Sphinx: `make docs` builds the site in build/docs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

from charlm.version import __version__

project = "charlm"
version = release = __version__
copyright = "the charlm authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
highlight_language = "text"
html_theme = "furo"
html_title = f"charlm {release}"
html_copy_source = False
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}

OUTSIDE = re.compile(r"\[([^\[\]]+)\]\((?:\.\./)+((?:(?:benchmarks|corpora)/)?[A-Z]+\.md)(?:#[\w-]+)?\)")
"""A link to a file of the repository that is no page of the site."""
PAGES = {"CHANGELOG.md": "project/changelog.md", "corpora/SOURCES.md": "project/texts.md"}
"""Files of the repository that are pages of the site, too."""
KINDS = ("tutorial", "how-to", "reference", "explanation", "project")


def link_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn links to files outside of docs/ into links to their page, or into the name of the file."""

    def replacement(link: re.Match[str]) -> str:
        label, file = link.groups()
        return f"[{label}](/{PAGES[file]})" if file in PAGES else f"`{file}`"

    source[0] = OUTSIDE.sub(replacement, source[0])


def write_markdown(app: Sphinx, error: Exception | None) -> None:
    """Copy each page as Markdown beside its HTML, and list all of them in llms.txt."""
    if error or app.builder.format != "html":
        return
    included = {page.removesuffix(".md"): file for file, page in PAGES.items()}
    lines = ["# charlm", "", f"> {summary(Path(app.srcdir) / 'index.md')}", ""]
    for kind in KINDS:
        lines += [f"## {kind.capitalize()}", ""]
        for page in sorted(name for name in app.env.found_docs if name.startswith(f"{kind}/")):
            source, target = Path(app.srcdir) / f"{page}.md", Path(app.outdir) / f"{page}.md"
            shutil.copyfile(source, target)
            if not page.endswith("/index"):
                text = Path(app.srcdir).parent / included[page] if page in included else source
                lines.append(f"- [{app.env.titles[page].astext()}]({page}.md): {summary(text)}")
        lines.append("")
    (Path(app.outdir) / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def summary(page: Path) -> str:
    """Return the first sentence of a page."""
    _, _, text = page.read_text(encoding="utf-8").partition("\n\n")
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.sub(r"\[([^\[\]]+)\]\([^)]+\)", r"\1", re.split(r"(?<=[a-z\d)])\. ", paragraph)[0])


def setup(app: Sphinx) -> None:
    """Connect the functions above to Sphinx."""
    app.connect("source-read", link_outside)
    app.connect("build-finished", write_markdown)
