"""The tutorials' code is taken from their pages and does what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import Machine
from tests.docs.pages import ROOT, Page, read
from tests.kit.host import Host

HOME = "#!/opt/offlimits/bin/python"


@pytest.fixture
def plugin_page() -> Page:
    return read(ROOT / "docs" / "tutorial" / "plugin.md")


@pytest.fixture
def runtime_page() -> Page:
    return read(ROOT / "docs" / "tutorial" / "runtime.md")


def code_lines(text: str) -> list[str]:
    """Those below the imports that say something."""
    below = text[text.rindex("import ") :].splitlines()[1:]
    return [line for line in below if line.strip()]


def test_the_plugin_has_twenty_lines(plugin_page: Page) -> None:
    assert len(code_lines(plugin_page.block("offlimits.py").text)) == 20


def tried(page: Page, directory: Path, plugin: str) -> subprocess.CompletedProcess[str]:
    """The page's test of this plugin, as pytest of another project runs it."""
    (directory / "offlimits.py").write_text(plugin)
    (directory / "test_offlimits.py").write_text(page.block("test_offlimits.py").text)
    options = ("-q", "-p", "no:cacheprovider", "--basetemp", directory / "inner")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_offlimits.py"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )


def test_the_plugin_and_its_test(plugin_page: Page, tmp_path: Path) -> None:
    done = tried(plugin_page, tmp_path, plugin_page.block("offlimits.py").text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 passed" in done.stdout


def test_its_test_sees_a_plugin_that_forgets(plugin_page: Page, tmp_path: Path) -> None:
    plugin = plugin_page.block("offlimits.py").text
    forgetful = plugin.replace("delete(nl, destination(call)", "dict(a=nl, b=destination(call)")
    assert forgetful != plugin
    done = tried(plugin_page, tmp_path, forgetful)
    assert done.returncode == 1
    assert "the test left the namespaces different:" in done.stdout
    assert "container0: route 169.254.169.254 dev - table main" in done.stdout


def test_the_plugin_in_a_chain(plugin_page: Page, machine: Machine) -> None:
    machine.host.share_nft("pycni_masquerade")
    machine.write(plugin_page.block("offlimits.py"), **{HOME: f"#!{sys.executable}"})
    machine.follow(plugin_page.block("install"))
    machine.network(plugin_page.block("10-blue.conflist"))
    printed = machine.follow(plugin_page.block("chain"))
    assert printed[3].strip() == "prohibit 169.254.169.254"
    assert (ROOT / "docs/tutorial/plugin.md").read_text().count("prohibit 169.254.169.254\n") == 1


def test_the_runtime(runtime_page: Page, machine: Machine) -> None:
    machine.host.share_bridge("br-mynet")
    machine.host.share_nft("pycni_*")
    machine.network(runtime_page.block("10-mynet.conflist"))
    machine.write(runtime_page.block("toy_runtime.py"))
    (printed,) = machine.follow(runtime_page.block("toy"))
    name, state, *addresses = printed.split()
    assert (name.split("@")[0], state) == ("eth0", "UP")
    assert "10.88.0.2/16" in addresses
    assert machine.run("ip", "netns", "list").stdout == ""


def test_the_page_has_the_example(runtime_page: Page) -> None:
    example = (ROOT / "examples" / "toy_runtime.py").read_text()
    assert runtime_page.block("toy_runtime.py").text == example
    assert len(example.splitlines()) <= 45


def test_the_runtime_tells_what_is_wrong(runtime_page: Page, machine: Machine, host: Host) -> None:
    machine.network(runtime_page.block("10-mynet.conflist"))
    machine.write(runtime_page.block("toy_runtime.py"))
    done = machine.run("python3", "toy_runtime.py", "absent", "true")
    assert done.returncode == 1
    assert done.stderr.startswith("error 7: no net configuration with name")
