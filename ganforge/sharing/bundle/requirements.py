"""What a bundle needs to be used here, and what is not as it was where it was packed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.errors import UsageError
from ganforge.sharing.bundle.contents import Code, Contents

if TYPE_CHECKING:
    from ganforge.plugins.registry import Registry


def check_plugins(bundle: Path, contents: Contents, registry: Registry) -> None:
    """See whether the plugins are here whose parts the recipe names.

    Raises:
        UsageError: some are not; with what to install.
    """
    here = {part.plugin for part in registry.parts.values()}
    lacking = {name: code for name, code in contents.plugins.items() if name not in here}
    if lacking:
        lines = [f"  {name}: {_cure(name, code, registry.broken)}" for name, code in lacking.items()]
        raise UsageError(f"{bundle} needs plugins that are not here:\n" + "\n".join(lines))


def code_differences(contents: Contents, here: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Where the code of plugins is not what made the bundle, in words with the cure.

    Args:
        contents: of the bundle.
        here: the code as it is here, as `code_of` gives it.
    """
    for name, code in contents.plugins.items():
        now = Code(**here[name]) if name in here else None
        if now is None or now.sha256 == code.sha256:
            continue
        if now.version != code.version and code.version:
            yield (
                f"the bundle was made with {code.origin}, and here is {now.origin}\n"
                f"  pip install '{code.distribution}=={code.version}' gives the same"
            )
        elif code.file:
            yield f"{now.origin} is another than the {code.origin} that the bundle was made with\n  ask for that one"
        else:
            yield (
                f"the code of {now.origin} here is not that of the same version which made the bundle\n"
                f"  one of the two was changed after its release: pip install --force-reinstall "
                f"'{code.distribution}=={code.version}', or ask which commit it was"
            )


def version_differences(before: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    """Other versions of what computes beside plugins: torch, torchvision."""
    for name in ("torch", "torchvision"):
        if name in before and before[name] != here.get(name):
            release = before[name].partition("+")[0]
            there = here.get(name, "none")
            cure = f"pip install '{name}=={release}' gives the same"
            yield f"the bundle was made with {name} {before[name]}, and here is {there}\n  {cure}"


def _cure(name: str, code: Code, broken: Mapping[str, str]) -> str:
    if name in broken:
        return f"it is installed, but could not be loaded: {broken[name]}"
    if code.file:
        return f"the plain file {code.origin}; bundles carry no code: ask for it, and give it with -p {code.file}"
    return f"pip install '{code.distribution}=={code.version}'"
