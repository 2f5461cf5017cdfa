"""Import what plugins import when they are called, once in the daemon and not in each worker.

A plugin's functions import what they need, which keeps the cold executable lean. A list of those
modules here would go stale unnoticed, so the functions are asked: what their bytecode imports is
imported. What stands at a module's top level is left out: it has run already, or is for the type
checker.
"""

from __future__ import annotations

import dis
import importlib
import importlib.util
import sys
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


def preload(packages: Collection[str]) -> dict[str, str]:
    """Import whatever functions in modules of these top-level packages import.

    The modules found on the way are searched too. Gives what could not be imported, and why.
    """
    problems: dict[str, str] = {}
    searched: set[str] = set()
    while fresh := [name for name in _loaded(packages) if name not in searched]:
        searched.update(fresh)
        for name in {wanted for one in fresh for wanted in _wanted(one)} - set(sys.modules):
            try:
                importlib.import_module(name)
            except (ImportError, OSError) as error:
                problems[name] = str(error)
    return problems


def _loaded(packages: Collection[str]) -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in packages]


def _wanted(name: str) -> Iterator[str]:
    """What the functions of a module import."""
    loader = getattr(sys.modules[name].__spec__, "loader", None)
    get_code: Callable[[str], object] = getattr(loader, "get_code", lambda _: None)
    for function in _functions(get_code(name)):
        names: object = None
        for step in dis.get_instructions(function):
            if step.opname == "IMPORT_NAME":
                yield step.argval
                for each in names if isinstance(names, tuple) else ():
                    if _is_module(step.argval, each):
                        yield f"{step.argval}.{each}"
            elif step.opname == "LOAD_CONST":
                names = step.argval  # the last one before IMPORT_NAME: what `from` asks for


def _functions(code: object) -> Iterator[CodeType]:
    """The code of every function in a module, those in classes and in functions too."""
    for one in code.co_consts if isinstance(code, CodeType) else ():
        if isinstance(one, CodeType):
            if dis.opmap["IMPORT_NAME"] in one.co_code[::2]:
                yield one
            yield from _functions(one)


def _is_module(package: str, name: str) -> bool:
    """Whether `from package import name` means a module."""
    try:
        return importlib.util.find_spec(f"{package}.{name}") is not None
    except ImportError:  # the package is a plain module, or is not there
        return False
