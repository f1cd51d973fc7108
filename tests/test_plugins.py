"""Plugins are found by their entry points, and a broken one costs only itself.

`isolation/` proves it of distributions that are really installed; here are the details.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from ganforge.errors import EnvironmentFault, UsageError
from ganforge.plugins.guard import SETTINGS
from ganforge.plugins.loading import Plugin, Plugins, load_plugins
from ganforge.plugins.registry import UnknownPart

Install = Callable[..., None]

HEAD = """\
from torch import Tensor
from ganforge import hookimpl

def charbonnier(input: Tensor, target: Tensor, epsilon: float = 1e-3) -> Tensor:
    return ((input - target) ** 2 + epsilon**2).sqrt().mean()

"""
SOUND = HEAD + '@hookimpl\ndef register_losses(register):\n    register("charbonnier", charbonnier)\n'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one plugin, and let `load_plugins` see no others but the built-in one."""
    seen: list[str] = []
    monkeypatch.setenv("GANFORGE_PLUGINS", "")

    def install(plugin: str, text: str, *requirements: str) -> None:
        distribution = f"ganforge-{plugin}"
        module = f"{distribution.replace('-', '_')}_{tmp_path.name}"  # Python remembers modules by name
        folder = tmp_path / distribution
        info = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        requires = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{requires}")
        (info / "entry_points.txt").write_text(f"[ganforge]\n{plugin} = {module}\n")
        (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(folder)
        seen.append(plugin)
        monkeypatch.setenv("GANFORGE_PLUGINS", ",".join(seen))

    return install


def named(plugins: Plugins, name: str) -> Plugin:
    (plugin,) = [plugin for plugin in plugins.found if plugin.name == name]
    return plugin


def test_a_plugin_is_loaded_from_its_entry_point(install: Install) -> None:
    install("smooth", SOUND)
    plugins = load_plugins()
    plugin = named(plugins, "smooth")
    assert (plugin.state, plugin.origin) == ("loaded", "ganforge-smooth 1.2")
    assert (plugin.hooks, plugin.parts) == (["register_losses"], {"losses": ["charbonnier"]})
    assert plugins.registry.find("losses", "charbonnier").full_name == "smooth.charbonnier"
    assert str(plugins.registry.find("losses", "smooth.charbonnier").signature) == (
        "input: tensor, target: tensor, epsilon: float = 0.001"
    )


BROKEN = {
    "unmarked": (
        SOUND.replace("@hookimpl\n", ""),
        "'register_losses' is not marked as a hook: write @hookimpl above it",
    ),
    "deaf": (
        HEAD + "@hookimpl\ndef register_losses():\n    pass\n",
        "the hook 'register_losses' takes (register), not (): write def register_losses(register)",
    ),
    "raises_in_hook": (SOUND + "    1 / 0\n", "ZeroDivisionError: division by zero"),
    "raises_mutely": ("raise RuntimeError", "RuntimeError"),
    "undefined_type": (
        'from __future__ import annotations\n' + SOUND.replace("epsilon: float", "epsilon: Flaot"),
        "the annotations of 'charbonnier' (ganforge_undefined_type_{}.py:5) cannot be read: "
        "name 'Flaot' is not defined; import what it needs where it runs: not below `if TYPE_CHECKING:`",
    ),
    "twice": (
        SOUND + '    register("charbonnier", charbonnier)\n',
        "it registers the loss 'charbonnier' twice",
    ),
    "nameless": (
        SOUND + '    register(None, charbonnier)\n',
        "it registers the loss 'None', which is no name that a recipe could call",
    ),
    "loses_a_recipe": (
        SOUND + '@hookimpl\ndef register_recipes(register):\n    register("mine", "nowhere/mine.yaml")\n',
        "its recipe 'mine' is not there: nowhere/mine.yaml",
    ),
    "fails_at_commands": (
        SOUND + "@hookimpl\ndef register_commands(cli):\n    cli.add_comand\n",
        "AttributeError: 'Group' object has no attribute 'add_comand'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_costs_only_itself(name: str, install: Install, tmp_path: Path) -> None:
    text, reason = BROKEN[name]
    install("smooth", SOUND)
    install(name, text)
    plugins = load_plugins()
    plugin = named(plugins, name)
    assert (plugin.state, plugin.reason) == ("broken", reason.format(tmp_path.name))
    assert (plugin.hooks, plugin.parts) == ([], {})
    assert [part.plugin for part in plugins.registry.of("losses") if part.name == "charbonnier"] == ["smooth"]
    assert not plugins.manager.has_plugin(name)
    with pytest.raises(UnknownPart, match="unknown loss 'vgg'") as unknown:
        plugins.registry.find("losses", "vgg")
    assert f"plugin '{name}' could not be loaded: {plugin.reason}" in unknown.value.args[1]


def test_the_traceback_shows_the_plugins_code_alone(install: Install) -> None:
    install("raises", "def go():\n    return 1 / 0\n\ngo()\n")
    report = named(load_plugins(), "raises").traceback
    assert "return 1 / 0" in report
    assert report.endswith("ZeroDivisionError: division by zero\n")
    assert "importlib" not in report
    assert "plugins.py" not in report


def test_the_environment_limits_the_plugins(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("smooth", SOUND)
    install("raises", "1 / 0")
    monkeypatch.setenv("GANFORGE_PLUGINS", "smooth")
    assert [plugin.name for plugin in load_plugins().found] == ["ganforge", "smooth"]
    monkeypatch.setenv("GANFORGE_PLUGINS", "")
    assert [plugin.name for plugin in load_plugins().found] == ["ganforge"]
    monkeypatch.delenv("GANFORGE_PLUGINS")
    assert {"ganforge", "smooth", "raises"} <= {plugin.name for plugin in load_plugins().found}


def test_the_environment_names_what_is_not_installed(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("smooth", SOUND)
    monkeypatch.setenv("GANFORGE_PLUGINS", " smooth, smoth,")
    plugins = load_plugins()
    assert [plugin.name for plugin in plugins.found] == ["ganforge", "smooth", "smoth"]
    (missing,) = plugins.broken
    reason = "GANFORGE_PLUGINS names it, and no installed distribution brings it; did you mean 'smooth'?"
    assert (missing.origin, missing.reason) == ("not installed", reason)
    with pytest.raises(UnknownPart) as unknown:
        plugins.registry.find("losses", "smoth.charbonnier")
    assert f"plugin 'smoth' could not be loaded: {reason}" in unknown.value.args[1]


OLD = "it wants ganforge{0}, and this is {1}: pip install --upgrade 'ganforge{0}'"


@pytest.mark.parametrize(
    ("requirement", "version", "reason"),
    [
        ("ganforge>=0.1", "0.1.0", ""),
        ("ganforge>=0.2", "0.1.0", OLD.format(">=0.2", "0.1.0")),
        ("GANforge >=0.2", "0.1.0", OLD.format(">=0.2", "0.1.0")),
        ("ganforge>=0.2", "0.2.0rc1", OLD.format(">=0.2", "0.2.0rc1")),
        ("ganforge>=0.2rc1", "0.2.0rc1", ""),
        ("ganforge>=0.1", "0.2.0.dev3", ""),
        ("ganforge>=0.1", "0.1.0+local", ""),
        ("ganforge[extra]>=0.2", "0.1.0", OLD.format(">=0.2", "0.1.0")),
        ('ganforge>=0.2; extra == "later"', "0.1.0", ""),
        ('ganforge>=0.2; python_version < "3"', "0.1.0", ""),
        ('ganforge>=0.2; python_version >= "3"', "0.1.0", OLD.format(">=0.2", "0.1.0")),
        (
            "ganforge<0.2",
            "0.2.0",
            "it wants ganforge<0.2, and this is 0.2.0: pip install --upgrade ganforge-smooth",
        ),
        ("ganforge @ https://example.org/ganforge.whl", "0.1.0", ""),
        ("ganforge is nice", "0.1.0", ""),
        ("ganforge-classics>=99", "0.1.0", ""),
    ],
)
def test_what_a_plugin_wants_is_read_as_pip_reads_it(
    requirement: str, version: str, reason: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganforge.plugins.loading.__version__", version)
    install("smooth", SOUND, requirement)
    assert named(load_plugins(), "smooth").reason == reason


def test_what_else_a_plugin_lacks_is_noted(install: Install) -> None:
    install("smooth", SOUND, "torch>=99", "Nowhere_At.all", "packaging>=1", "ganforge>=0.1")
    plugin = named(load_plugins(), "smooth")
    old, missing = plugin.notes
    assert plugin.state == "loaded"
    assert old.startswith("it wants torch>=99, and this is 2.")
    assert old.endswith(": pip install --upgrade 'torch>=99'")
    assert missing == "it wants nowhere-at-all, which is not installed: pip install 'Nowhere_At.all'"


def test_commands_are_listed_and_added(install: Install) -> None:
    hook = "@hookimpl\ndef register_commands(cli):\n    cli.command('greet')(lambda: print('hello'))\n"
    install("smooth", SOUND + hook)
    plugins = load_plugins()
    assert named(plugins, "smooth").parts == {"losses": ["charbonnier"], "commands": ["greet"]}
    group = click.Group()
    plugins.manager.hook.register_commands(cli=group)
    assert list(group.commands) == ["greet"]


CHANGES = {
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's default device": "torch.set_default_device('meta')",
    "torch's gradient mode": "torch.set_grad_enabled(False)",
    "torch's number of threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch's precision of matrix products": "torch.set_float32_matmul_precision('medium')",
    "CUDA_VISIBLE_DEVICES": "os.environ['CUDA_VISIBLE_DEVICES'] = '7'",
}


@pytest.mark.parametrize("visible", ["0", None])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_plugin_changes_no_setting(
    setting: str, fails: bool, visible: str | None, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    read, _ = SETTINGS[setting]
    before = read()
    install("restless", f"import os, torch\n{CHANGES[setting]}\n" + ("1 / 0\n" if fails else SOUND))
    plugin = named(load_plugins(), "restless")
    assert read() == before
    assert plugin.notes == [f"when it was loaded it changed {setting}: put back, for that would change runs"]


def test_a_plugin_hides_no_warning_and_prints_no_output(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    filters = list(warnings.filters)
    install("restless", "import warnings\nwarnings.simplefilter('ignore')\nprint('hello')\n" + SOUND)
    assert named(load_plugins(), "restless").state == "loaded"
    assert list(warnings.filters) == filters
    assert capsys.readouterr() == ("", "hello\n")


def test_a_file_is_a_plugin(install: Install, tmp_path: Path) -> None:
    path = tmp_path / "my_losses.py"
    path.write_text(SOUND)
    plugins = load_plugins([path])
    assert named(plugins, "my_losses").origin == str(path)
    assert plugins.registry.find("losses", "charbonnier").full_name == "my_losses.charbonnier"


def test_a_file_that_fails_is_an_error(install: Install, tmp_path: Path) -> None:
    path = tmp_path / "my_broken_losses.py"
    path.write_text("x = 1\ny = x / 0\n")
    with pytest.raises(UsageError) as raised:
        load_plugins([path])
    assert str(raised.value).startswith(f"plugin {path}: ZeroDivisionError: division by zero\n")
    assert 'my_broken_losses.py", line 2' in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("nowhere.py", None, "there is no Python file of that name"),
        ("data.json", "{}", "there is no Python file of that name"),
        (
            "hookless_file.py",
            HEAD,
            "it implements no hook: mark functions such as register_losses with @ganforge.hookimpl",
        ),
        ("ganforge.py", SOUND, "another plugin is called 'ganforge'; give this one a name of its own"),
    ],
)
def test_a_file_that_is_no_plugin_is_an_error(
    name: str, text: str | None, reason: str, install: Install, tmp_path: Path
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as raised:
        load_plugins([path])
    assert str(raised.value) == f"plugin {path}: {reason}"


def test_a_broken_built_in_plugin_is_one_error(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    import ganforge.builtin

    monkeypatch.delattr(ganforge.builtin.losses, "l1")
    with pytest.raises(EnvironmentFault) as raised:
        load_plugins()
    reason, cure = str(raised.value).splitlines()
    assert reason.startswith("ganforge's own parts could not be loaded: AttributeError: ")
    assert cure == "  install it anew: pip install --force-reinstall ganforge"


def test_a_command_that_raises_is_told_with_its_line(install: Install, ganforge: Callable[..., Any]) -> None:
    hook = "@hookimpl\ndef register_commands(cli):\n    @cli.command('stumble')\n    def stumble():\n        1 / 0\n"
    install("smooth", SOUND + hook)
    outcome = ganforge("stumble")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ZeroDivisionError: division by zero\n  raised at ")
    assert re.search(r"smooth\S*\.py:\d+ in stumble\n  this is of the plugin 'smooth'", outcome.err)
    assert "should have been told better" not in outcome.err


def test_a_command_may_end_python(install: Install, ganforge: Callable[..., Any]) -> None:
    hook = "@hookimpl\ndef register_commands(cli):\n    cli.command('leave')(lambda: exit(7))\n"
    install("smooth", SOUND + hook)
    assert ganforge("leave").code == 7


def test_a_file_that_fails_prints_no_traceback_but_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ganforge: Callable[..., Any]
) -> None:
    monkeypatch.setenv("GANFORGE_PLUGINS", "")
    (tmp_path / "my_wrong_losses.py").write_text("x = 1\ny = x / 0\n")
    outcome = ganforge("parts", "-p", tmp_path / "my_wrong_losses.py")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert 'my_wrong_losses.py", line 2' in outcome.err


@pytest.mark.parametrize("made", ["None", "3", "functools.partial(charbonnier)"])
def test_what_is_no_function_and_no_class_is_no_part(made: str, install: Install, tmp_path: Path) -> None:
    path = tmp_path / "odd_losses.py"
    text = SOUND.replace('register("charbonnier", charbonnier)', f'register("charbonnier", {made})')
    path.write_text("import functools\n" + text)
    with pytest.raises(UsageError, match=r"the loss 'charbonnier', which is .*; register a function or a class"):
        load_plugins([path])
