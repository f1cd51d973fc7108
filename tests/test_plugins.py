"""Plugins are found by their entry points, and a broken one costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge.cli import main
from ganforge.errors import EnvironmentFault, UsageError
from ganforge.plugins import Plugin, Plugins, load_plugins
from ganforge.registry import UnknownPart

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

    def install(plugin: str, text: str, distribution: str | None = None) -> None:
        distribution = distribution or f"ganforge-{plugin}"
        module = f"{distribution.replace('-', '_')}_{tmp_path.name}"  # Python remembers modules by name
        folder = tmp_path / distribution
        info = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
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
    assert (plugin.hooks, plugin.parts) == (["register_losses"], ["losses: charbonnier"])
    assert plugins.registry.find("losses", "charbonnier").full_name == "smooth.charbonnier"
    assert str(plugins.registry.find("losses", "smooth.charbonnier").signature) == (
        "input: tensor, target: tensor, epsilon: float = 0.001"
    )


BROKEN = {
    "raises": ("import a_module_that_is_nowhere", "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"),
    "no_python": ("def broken(:\n", "SyntaxError: invalid syntax (ganforge_no_python_{}.py, line 1)"),
    "exits": ("import sys\nsys.exit(3)", "it ends Python when it is imported (SystemExit: 3)"),
    "misspells": (
        SOUND.replace("register_losses", "register_loses"),
        "there is no hook 'register_loses'; did you mean 'register_losses'?",
    ),
    "unmarked": (
        SOUND.replace("@hookimpl\n", ""),
        "'register_losses' is not marked as a hook: write @hookimpl above it",
    ),
    "hookless": (HEAD, "it implements no hook: mark functions such as register_losses with @ganforge.hookimpl"),
    "other_argument": (
        SOUND.replace("register_losses(register)", "register_losses(registry)"),
        "the hook 'register_losses' takes 'register', not 'registry': write def register_losses(register)",
    ),
    "raises_in_hook": (SOUND + "    1 / 0\n", "ZeroDivisionError: division by zero"),
    "untyped": (
        SOUND.replace("epsilon: float", "epsilon"),
        "parameter 'epsilon' of 'charbonnier' has no type annotation; "
        "write one: it tells the engine how to check or bind it",
    ),
    "undefined_type": (
        'from __future__ import annotations\n' + SOUND.replace("epsilon: float", "epsilon: Flaot"),
        "the annotations of 'charbonnier' cannot be read: name 'Flaot' is not defined",
    ),
    "twice": (
        SOUND + '    register("charbonnier", charbonnier)\n',
        "it registers the loss 'charbonnier' twice",
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
    assert (plugin.hooks, plugin.parts) == ([], [])
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


def test_commands_go_on_with_a_warning(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("exits", "raise SystemExit(3)")
    with pytest.raises(SystemExit) as ended:
        main(["check", str(Path(__file__).parent / "recipe/faults/yaml_tab.yaml")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    reason = "it ends Python when it is imported (SystemExit: 3)"
    assert said.startswith(f"warning: plugin 'exits' (ganforge-exits 1.2) could not be loaded: {reason}\n")
    assert "a tab stands where YAML wants spaces" in said


def test_two_distributions_with_one_name_are_told(install: Install) -> None:
    install("smooth", SOUND)
    install("smooth", SOUND, distribution="another-smooth")
    plugins = load_plugins()
    reasons = {plugin.reason for plugin in plugins.found if plugin.name == "smooth"}
    assert len(reasons) == 1
    (reason,) = reasons
    assert sorted(reason.split(" both ")[0].split(" and ")) == ["another-smooth 1.2", "ganforge-smooth 1.2"]
    assert reason.endswith("both call their plugin 'smooth'; uninstall one of them")
    assert not [part for part in plugins.registry.parts.values() if part.plugin == "smooth"]


def test_the_environment_limits_the_plugins(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("smooth", SOUND)
    install("raises", "1 / 0")
    monkeypatch.setenv("GANFORGE_PLUGINS", "smooth")
    assert [plugin.name for plugin in load_plugins().found] == ["ganforge", "smooth"]
    monkeypatch.setenv("GANFORGE_PLUGINS", "")
    assert [plugin.name for plugin in load_plugins().found] == ["ganforge"]
    monkeypatch.delenv("GANFORGE_PLUGINS")
    assert {"ganforge", "smooth", "raises"} <= {plugin.name for plugin in load_plugins().found}


def test_a_name_of_two_plugins_is_ambiguous_only_at_use(install: Install) -> None:
    install("smooth", SOUND)
    install("rough", SOUND)
    registry = load_plugins().registry
    assert registry.find("losses", "rough.charbonnier").plugin == "rough"
    with pytest.raises(UnknownPart) as ambiguous:
        registry.find("losses", "charbonnier")
    assert ambiguous.value.args == (
        "'charbonnier' is registered by 2 plugins",
        "write rough.charbonnier or smooth.charbonnier",
    )


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
