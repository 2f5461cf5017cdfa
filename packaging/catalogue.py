"""The catalogue of errors, `docs/errors.md`, from the code: `make errors` writes it anew.

Every `CniError(...)`, every `wrong(...)` of a key and every error of the floors below is found in
the syntax tree, with its code and its sentence; what is filled in at run time is shown as `<name>`.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("cni", "wiring", "libcni", "hostnet", "etcd_json", "cnid", "cnitool")
"""Where errors come from, beside the plugins."""
TARGET = ROOT / "docs" / "errors.md"

_PARTS = ("hostnet", "etcd_json")
"""Floors whose errors become part of a plugin's: what was tried, and how it was refused."""
_REQUESTS = ("request", "dump", "batch", "commit")
"""What the kernel is asked by: one of their arguments says for what."""
_REFUSALS = ("NetlinkError", "IptablesError")
"""Errors of a number, of what was tried, and perhaps of words about it."""
_OF_CHECK = re.compile(r"(problems?|differences?)(_|$)")
"""Functions that yield what CHECK found to be different."""


_IMPERATIVES = (
    "add", "ask", "call", "chain", "check", "chmod", "choose", "cnitool", "correct", "DEL",
    "did you mean", "do without", "empty", "enlarge", "firewall-cmd", "give", "grant", "install",
    "ip", "iptables -", "list", "load", "make", "mend", "modprobe", "name", "put", "read", "remove",
    "rename", "renew", "repeat", "restart", "run", "say", "see", "set", "start", "stop", "take",
    "try", "use", "wait", "widen", "write",
)  # fmt: skip
_REMEDY = re.compile(
    r"(?:[,;:(.] ?(?:so |or )?|^(?=specify))(?P<rest>(?:expected|please|specify|[Ss]et|the next ADD"
    r"|[^,;:(]*\b(?:must|has to|have to|may be made)\b|" + "|".join(_IMPERATIVES) + r")\b.*)"
)
_NEED = re.compile(r"\bneeds? |\bis needed|was expected$")
_REASON = re.compile(r"<kernel>|(: (signal|exit status) |: |[(] ?|; )<[^>]+>(<[^>]+>)?[)]?$")


@dataclass(frozen=True)
class Message:
    """One sentence. code: a number, 0 where it is another's. of: the plugin or the floor."""

    code: int
    of: str
    module: str
    text: str

    def split(self) -> tuple[str, str]:
        """The sentence, and of it what was expected or what mends it, empty where it says neither.

        The second part is where the first of the words that begin such a part stands.
        """
        found = _REMEDY.search(self.text)
        if found is None:
            return self.text, ""
        return self.text[: found.start()].rstrip(" ,;:("), self.text[found.start("rest") :].rstrip(
            ")"
        )

    @property
    def teaches(self) -> bool:
        """Whether it says what was expected, how to mend it, or ends in the reason as told by who
        refused: the kernel, a file system, another plugin."""
        return bool(self.split()[1] or _NEED.search(self.text) or _REASON.search(self.text))


@dataclass(frozen=True)
class Code:
    """number, name: as in `cni.errors`. meaning: one sentence or two."""

    number: int
    name: str
    meaning: str


def codes() -> dict[str, Code]:
    """The codes by name: assignments in `cni/errors.py`, each with a docstring below it."""
    body = ast.parse((ROOT / "cni" / "errors.py").read_text(encoding="utf-8")).body
    found = {}
    for one, below in itertools.pairwise(body):
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant):
            (target,) = one.targets
            assert isinstance(target, ast.Name)
            assert isinstance(below, ast.Expr), f"cni/errors.py: {target.id} has no meaning"
            assert isinstance(below.value, ast.Constant)
            meaning = " ".join(str(below.value.value).split())
            assert isinstance(one.value.value, int)
            found[target.id] = Code(one.value.value, target.id, meaning)
    return found


def sources() -> Iterator[tuple[str, Path]]:
    """(plugin or floor, file) of all code whose errors people see."""
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            yield floor, path
    for path in sorted((ROOT / "plugins").glob("*/cni_*/**/*.py")):
        yield path.relative_to(ROOT / "plugins").parts[0], path


@functools.cache
def messages() -> list[Message]:
    """All messages, in the order of the files."""
    known = codes()
    trees = [(of, path, ast.parse(path.read_text(encoding="utf-8"))) for of, path in sources()]
    classes = _error_classes(tree for of, _, tree in trees if of in ("hostnet", "etcd_json"))
    found: dict[Message, None] = {}
    for of, path, tree in trees:
        module = str(path.relative_to(ROOT))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                reader = _Function(function, known, classes)
                for code, text in reader.messages():
                    found[Message(code, of, module, text)] = None
                if _OF_CHECK.search(function.name) and of not in _PARTS:
                    for text in reader.yielded():
                        found[Message(known["CHECK_FAILED"].number, of, module, text)] = None
    return list(found)


def _error_classes(trees: Iterator[ast.Module]) -> set[str]:
    """Names of exceptions that carry a sentence of their own: OSErrors and what derives of them."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"OSError", "TimeoutError", "ConnectionError"}
    while more := {name for name in bases if bases[name] & found} - found:
        found |= more
    return found & set(bases)


def messages_of(function: ast.FunctionDef) -> list[tuple[int, str]]:
    """(code, sentence) of one function by itself."""
    return list(_Function(function, codes(), set()).messages())


class _Function:
    """A function's errors. Nested functions are read with the one they are in, and again."""

    def __init__(self, node: ast.FunctionDef, known: dict[str, Code], classes: set[str]) -> None:
        self._node = node
        self._known = known
        self._classes = classes
        self._texts: dict[str, list[ast.expr]] = defaultdict(list)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name):
                self._texts[inner.targets[0].id].append(inner.value)

    def messages(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self._node):
            if isinstance(node, ast.Call):
                yield from self._of(node)

    def yielded(self) -> Iterator[str]:
        """The sentences that a generator yields, or a list of sentences is made of."""
        for node in ast.walk(self._node):
            value = node.value if isinstance(node, ast.Yield) else None
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".append"):
                (value,) = node.args
            if value is not None:
                yield from (text for text in self._said(value) if " " in text)

    def _of(self, call: ast.Call) -> Iterator[tuple[int, str]]:
        name = ast.unparse(call.func).rpartition(".")[2]
        arguments = call.args
        if name in ("CniError", "_NamedError") and len(arguments) > 1:
            for text in self._said(arguments[1]):
                yield self._code(arguments[0]), text
        elif name == "wrong" and isinstance(call.func, ast.Attribute) and len(arguments) > 1:
            yield from self._wrong(call, arguments[1], self._one(arguments[0]))
        elif name == "wrong_value" and len(arguments) > 2:
            yield from self._wrong(call, arguments[2], self._one(arguments[0]))
        else:
            yield from self._of_system(name, call)

    def _of_system(self, name: str, call: ast.Call) -> Iterator[tuple[int, str]]:
        """What the kernel or etcd is asked for and refuses."""
        if name in _REQUESTS:
            for text in self._sentences([*call.args, *(one.value for one in call.keywords)]):
                yield self._known["SYSTEM"].number, f"cannot {text}: <kernel>"
        elif name in _REFUSALS and len(call.args) > 1:
            for text in self._refusals(call):
                yield self._known["SYSTEM"].number, text
        elif name in self._classes:
            for text in self._sentences(call.args):
                yield 0, text

    def _refusals(self, call: ast.Call) -> Iterator[str]:
        """`cannot <what>: <words>`, as these errors put it together."""
        said = [one.value for one in call.keywords if one.arg == "extack"]
        words = [f"<kernel>; the kernel says: {text}" for one in said for text in self._said(one)]
        if len(call.args) > 2:
            words = list(self._said(call.args[2]))
        for what in self._texts_of(call.args[1]):
            if words or not what.startswith("<"):
                for one in words or ["<kernel>"]:
                    yield f"cannot {what}: {one}"

    def _sentences(self, arguments: list[ast.expr]) -> Iterator[str]:
        """What is said among a call's arguments, of which others are names and numbers."""
        for argument in arguments:
            if isinstance(argument, (ast.Constant, ast.JoinedStr, ast.IfExp, ast.BinOp)):
                yield from (text for text in self._said(argument) if " " in text.strip())

    def _wrong(self, call: ast.Call, expected: ast.expr, key: str) -> Iterator[tuple[int, str]]:
        more = [*call.args[2 + (ast.unparse(call.func) == "wrong_value") :]]
        code = self._code(more[0]) if more else self._known["INVALID_CONFIG"].number
        for text in self._said(expected):
            yield code, f'key "{key}": found <value>, expected {text}'

    def _code(self, node: ast.expr) -> int:
        name = ast.unparse(node).rpartition(".")[2]
        return self._known[name].number if name in self._known else 0

    def _said(self, node: ast.expr) -> Iterator[str]:
        """The sentences that an expression may be; none for what is only handed on."""
        for text in self._texts_of(node):
            if not text.startswith("<") or " " in text:
                yield text

    def _one(self, node: ast.expr) -> str:
        return next(iter(self._texts_of(node)))

    def _texts_of(self, node: ast.expr, depth: int = 0) -> list[str]:
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if isinstance(node, ast.JoinedStr):
            found = [""]
            for part in node.values:
                found = [one + text for one in found for text in self._part(part, depth)][:6]
            return found
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._texts_of(node.left, depth), self._texts_of(node.right, depth)
            return [one + other for one in left for other in right]
        if isinstance(node, ast.IfExp):
            return self._texts_of(node.body, depth) + self._texts_of(node.orelse, depth)
        if isinstance(node, ast.Name) and node.id in self._texts and depth < 3:
            return [
                text
                for one in self._texts[node.id]
                if isinstance(one, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.IfExp))
                for text in self._texts_of(one, depth + 1)
            ] or [_placeholder(node)]
        return [_placeholder(node)]

    def _part(self, part: ast.expr, depth: int) -> list[str]:
        if isinstance(part, ast.Constant):
            return [str(part.value)]
        assert isinstance(part, ast.FormattedValue)
        value = part.value
        if isinstance(value, (ast.Constant, ast.JoinedStr, ast.IfExp, ast.Name)):
            return self._texts_of(value, depth + 1)
        return [_placeholder(value)]


def _placeholder(node: ast.expr) -> str:
    """What stands for a value: the last name in the expression that makes it."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "place" and node.args:
            first = node.args[0]
            return str(first.value) if isinstance(first, ast.Constant) else _placeholder(first)
        inner = node.args[0] if node.args else node.func
        if isinstance(node.func, ast.Attribute) and node.func.attr == "join":
            return _placeholder(node.args[0])
        return _placeholder(inner)
    if isinstance(node, (ast.Subscript, ast.Starred)):
        return _placeholder(node.value)
    if isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp)):
        return _placeholder(node.generators[0].iter)
    if isinstance(node, ast.BinOp):
        return _placeholder(node.left)
    if isinstance(node, ast.Attribute):
        return f"<{node.attr.strip('_')}>"
    if isinstance(node, ast.Name):
        return f"<{node.id.strip('_').lower()}>"
    return "<…>"


# ---- the page ----------------------------------------------------------------------------------

_HEAD = """# Errors

Every error that a plugin, `cnitool` or the libraries can raise, by its code. This page is made from
the code by `make errors`. What stands in angle brackets is filled in when it happens: `<name>`.
Search for the words that you see and that are nobody's names.

A plugin answers an error as JSON with `code`, `msg` and sometimes `details`; `msg` begins with the
plugin and the network: `bridge on network "blue": ...`. Codes up to 99 are those of the
[specification](https://www.cni.dev/docs/spec/#error), from 100 on they are this suite's.

What the kernel refuses has code 101: what was tried, then the kernel's words (`<kernel>`), then
what the kernel says of it besides, and which privilege is missing, if that is it. Where several
things are wrong, as CHECK may find, one error has them all, with semicolons between.
"""


def page() -> str:
    """The whole page."""
    known = sorted(codes().values(), key=lambda one: one.number)
    found = messages()
    head = [paragraph.replace("\n", " ").strip() for paragraph in _HEAD.split("\n\n")]
    lines = ["\n\n".join(head), "", "| code | name | meaning |", "|---|---|---|"]
    lines += [f"| [{one.number}](#{_anchor(one)}) | {one.name} | {one.meaning} |" for one in known]
    for one in known:
        lines += ["", f"## {_title(one)}", "", one.meaning]
        lines += _tables([each for each in found if each.code == one.number])
    rest = [each for each in found if not each.code]
    lines += [
        "",
        "## Parts of others",
        "",
        "What errors of other codes are made of: what a library said, or another plugin.",
        *_tables(rest),
    ]
    return "\n".join(lines) + "\n"


def _title(code: Code) -> str:
    return f"{code.number} {code.name.replace('_', ' ').lower()}"


def _anchor(code: Code) -> str:
    return _title(code).replace(" ", "-")


def _tables(found: list[Message]) -> Iterator[str]:
    """One for each plugin and floor, in alphabetical order."""
    by: dict[str, list[Message]] = defaultdict(list)
    for one in found:
        by[one.of].append(one)
    for of in sorted(by):
        yield from ("", f"### {of}", "", "| message | expected, or what mends it | in |")
        yield "|---|---|---|"
        for one in sorted(by[of], key=lambda each: (each.text, each.module)):
            said, remedy = one.split()
            yield f"| {_code(said)} | {_code(remedy)} | {one.module} |"


def _code(text: str) -> str:
    if not text:
        return ""
    plain = text.replace("|", "\\|").replace("\n", " ").strip()
    return f"`` {plain} ``" if "`" in plain else f"`{plain}`"


def main() -> None:
    """Write the page."""
    TARGET.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
