"""R3GAN for ganforge: the relativistic GAN with zero-centred penalties, and its modern networks."""

from pathlib import Path

from ganforge import Register, hookimpl


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
