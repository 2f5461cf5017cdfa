"""Steps of the build that PyInstaller has no option for: what `pycni.spec` calls.

A table of contents ("toc") is PyInstaller's: a list of (name in the bundle, source path, kind).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import marshal
import os
import zipfile
from _imp import is_frozen
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from cnitool.suite.files import CONTENTS_PREFIX

Toc: TypeAlias = list[tuple[str, str, str]]

BASE_LIBRARY = "base_library.zip"
_NEEDED_TO_START = ("encodings/__init__.pyc", "encodings/aliases.pyc", "encodings/utf_8.pyc")
_OPTIMIZE = 2
_LEANER = {
    "ipaddress": (b"import functools\n", b"from cni_bundle import few_functools as functools\n")
}
"""By module: what its source says once, and says in the bundle."""


def take_base_modules(datas: Toc, scratch: Path) -> Toc:
    """Shrink base_library.zip to what the interpreter cannot start without; returns the rest.

    Python reads the archive's whole directory before it has read a line of ours: 155 entries cost
    0.7 ms. What leaves the archive is returned as a toc of modules, for a store or a PYZ.
    """
    at = next(number for number, entry in enumerate(datas) if entry[0] == BASE_LIBRARY)
    small = scratch / BASE_LIBRARY
    taken: Toc = []
    with zipfile.ZipFile(datas[at][1]) as whole, zipfile.ZipFile(small, "w") as kept:
        for name in sorted(whole.namelist()):
            if name in _NEEDED_TO_START:
                kept.writestr(zipfile.ZipInfo(name), whole.read(name))
                continue
            module = name.removesuffix(".pyc").removesuffix("/__init__").replace("/", ".")
            taken.append((module, _source(module), f"PYMODULE-{_OPTIMIZE}"))
    datas[at] = (BASE_LIBRARY, str(small), "DATA")
    return taken


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"no source for {module}")
    if spec.origin == "frozen":  # compiled into the interpreter, but its file is there too
        return str(spec.loader_state.filename)
    return spec.origin


def modules_of(packages: Iterable[Path]) -> list[str]:
    """The names of every module in these package directories, the packages themselves included."""
    return [
        ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for package in packages
        for file in sorted(package.rglob("*.py"))
    ]


def write_store(modules: Toc, extensions: Toc, required: Iterable[str], path: Path) -> None:
    """Write the file that `cni_bundle.boot.StoredModules` reads.

    Eight bytes with the length of what follows (little endian): a marshalled pair of indexes,
    module -> (is it a package, where its code starts, how many bytes it has), and extension module
    -> its shared object. Then the marshalled codes, compiled here without asserts and docstrings;
    where they start counts from the first of them. Modules that are compiled into the interpreter
    stay out, and `_LEANER` ones are changed. Raises LookupError when one of `required` is missing:
    PyInstaller leaves out without a word what does not compile.
    """
    index: dict[str, tuple[bool, int, int]] = {}
    codes: list[bytes] = []
    at = 0
    for name, source, _ in modules:
        if source in ("-", None) or is_frozen(name) or _is_rare_encoding(name):
            continue
        package = os.path.basename(source).startswith("__init__.")
        inside = name.replace(".", "/") + ("/__init__.py" if package else ".py")
        text = source_of(name, Path(source))
        tree = with_later_constants(text) if name in _LEANER else text
        code = marshal.dumps(compile(tree, inside, "exec", dont_inherit=True, optimize=_OPTIMIZE))
        index[name] = (package, at, len(code))
        codes.append(code)
        at += len(code)
    missing = set(required) - set(index)
    if missing:
        raise LookupError(
            f"left out by PyInstaller: {', '.join(sorted(missing))}; do they compile?"
        )
    objects = {
        os.path.basename(where).partition(".")[0]: where
        for where, _, kind in extensions
        if kind == "EXTENSION"
    }
    indexes = marshal.dumps((index, objects))
    path.write_bytes(b"".join([len(indexes).to_bytes(8, "little"), indexes, *codes]))


def source_of(module: str, source: Path) -> bytes:
    """A module's source as the bundle has it: see `cni_bundle.few_functools`.

    Raises LookupError where another Python's says something else.
    """
    text = source.read_bytes()
    if module not in _LEANER:
        return text
    says, shall = _LEANER[module]
    if text.count(says) != 1:
        raise LookupError(f"{source} does not say once: {says.decode().strip()}")
    return text.replace(says, shall)


def with_later_constants(text: bytes) -> ast.Module:
    """The source of `ipaddress`, whose networks of special use are made when first asked for.

    There are forty, and a call asks for one or two.
    """
    tree = ast.parse(text)
    for holder in tree.body:
        if isinstance(holder, ast.ClassDef) and holder.name.endswith("Constants"):
            for statement in holder.body:
                if isinstance(statement, ast.Assign):
                    later = ast.parse("functools.later(lambda: None)", mode="eval").body
                    assert isinstance(later, ast.Call)
                    assert isinstance(later.args[0], ast.Lambda)
                    later.args[0].body = statement.value
                    statement.value = ast.copy_location(later, statement.value)
    return ast.fix_missing_locations(tree)


def _is_rare_encoding(module: str) -> bool:
    package, _, name = module.partition(".")
    return package == "encodings" and name not in ("ascii", "latin_1", "idna")


def contents_name(files: Toc) -> str:
    """The name for the directory that holds `files`: one name for one content.

    An executable finds its directory by this name, so that an upgrade can lay the new directory
    beside the old one, and no executable ever meets another build's libraries.
    """
    digest = hashlib.sha256()
    for name, source, _ in sorted(files):
        digest.update(f"{name}\0".encode())
        if source and os.path.isfile(source):
            digest.update(Path(source).read_bytes())
    return CONTENTS_PREFIX + digest.hexdigest()[:8]
