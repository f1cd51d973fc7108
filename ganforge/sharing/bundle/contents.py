"""What a bundle's first entry, `bundle.json`, says of it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1
HEAD = "bundle.json"
MAX_HEAD_BYTES = 2**22
MAX_ENTRIES = 1000
MAX_TEXT_BYTES = 2**28
"""The size of all deflated entries together, at most: the others are as large in the file as outside of it."""

ENTRY = re.compile(
    r"recipe\.yaml|run\.json|data\.json|evaluation\.(?:json|md)"
    r"|images/[\w-]{1,100}/step_\d{7,12}\.png"
    r"|checkpoints/step_\d{7,12}/(?:(?:networks|ema|training)\.safetensors|(?:state|manifest)\.json)",
    re.ASCII,
)
"""All that a bundle may hold beside its head: none of these names leads out of a folder, and none is loaded as code."""
REQUIRED = ("recipe.yaml", "run.json", "data.json")
CHECKPOINT = ("networks.safetensors", "ema.safetensors", "training.safetensors", "state.json", "manifest.json")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Label = Annotated[str, Field(pattern=r"^[\w .!+-]{0,200}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]


class _Data(BaseModel):
    """Data of strict types; what a later format adds is passed over."""

    model_config = ConfigDict(strict=True, frozen=True)


class Entry(_Data):
    """One entry of the zip."""

    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Code(_Data):
    """The code of a plugin: a distribution with its version, or a plain file."""

    distribution: Label = ""
    version: Label = ""
    file: Label = ""
    beside: Label = ""
    """What the plain file imports from its own folder."""
    sha256: Sha256

    @property
    def origin(self) -> str:
        """What to install, or the file to ask for."""
        if self.file:
            return f"{self.file} with {self.beside}" if self.beside else self.file
        return f"{self.distribution} {self.version}"


class Contents(_Data):
    """What is in a bundle."""

    format: int
    recipe: Name
    """The recipe's name."""
    run: Name
    """The number of the run."""
    checkpoint: Name
    state: bool
    """Whether the training's state is in it, so that training can go on from it."""
    plugins: dict[Label, Code]
    """The code of ganforge and of the plugins whose parts the recipe names, by plugin."""
    entries: Annotated[dict[str, Entry], Field(max_length=MAX_ENTRIES)]
