"""What `make docs` does beyond mkdocs: pages stay beside the code that they are about.

mkdocs wants all pages in one directory. Here the site has the repository's own layout instead: its
pages are those that the nav of mkdocs.yml names, wherever they are, and with them goes every file
that they link to, such as an example's source. So a link between two files of the repository is one
between two files of the site, and nothing is copied or rewritten.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol, TypeAlias

    Nav: TypeAlias = "str | list[Nav] | dict[str, Nav]"

    class File(Protocol):
        """mkdocs.structure.files.File."""

        @property
        def src_dir(self) -> str | None: ...
        @property
        def src_uri(self) -> str: ...

    class Files(Protocol):
        """mkdocs.structure.files.Files."""

        def __iter__(self) -> Iterator[File]: ...
        def append(self, file: File) -> None: ...
        def remove(self, file: File) -> None: ...

    class Page(Protocol):
        """mkdocs.structure.pages.Page."""

        @property
        def file(self) -> File: ...


ROOT = Path(__file__).parent.parent
# What a page links to that is a file: no address of the web, no anchor of its own.
_TARGET = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
_LINK = re.compile(r"(?<!!)\[([^]]*)\]\((?![a-z]+:|#)([^)#\s]+)\)")
_PICTURE = re.compile(r'(?:src|srcset)="(?![a-z]+:)([^"#]+)')
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Mapping[str, object]) -> Files:
    """mkdocs' event: replace what it found in its directory by the pages of the nav."""
    from mkdocs.structure.files import File as SiteFile

    for file in [one for one in files if one.src_dir == config["docs_dir"]]:
        files.remove(file)
    pages = list(in_nav(config["nav"]))  # type: ignore[arg-type]  # mkdocs has checked its shape
    for path in [*pages, *sorted(linked(pages) - set(pages))]:
        files.append(SiteFile(path, str(ROOT), config["site_dir"], config["use_directory_urls"]))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """mkdocs' event: a link to a directory, of which a forge shows the content, is its text."""

    def spared(link: re.Match[str]) -> str:
        path = (ROOT / page.file.src_uri).parent / link[2]
        return link[1] if path.is_dir() else link[0]

    return _LINK.sub(spared, markdown)


def in_nav(nav: Nav) -> Iterator[str]:
    """The pages that a nav names, by their paths in the repository."""
    if isinstance(nav, str):
        yield nav
        return
    for one in nav.values() if isinstance(nav, dict) else nav:
        yield from in_nav(one)


def linked(pages: list[str]) -> set[str]:
    """The files that these pages link to and show."""
    found = set()
    for page in pages:
        text = _FENCED.sub("", (ROOT / page).read_text())
        for target in [*_TARGET.findall(text), *_PICTURE.findall(text)]:
            path = (ROOT / page).parent.joinpath(target).resolve()
            if path.is_file():
                found.add(str(path.relative_to(ROOT)))
    return found
