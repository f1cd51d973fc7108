"""StyleGAN2 for ganforge: style-based networks, path-length regularisation, adaptive augmentation."""

from pathlib import Path

from ganforge import Register, hookimpl


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
