"""CUT's and FastCUT's parts for ganforge: Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image
Translation", https://arxiv.org/abs/2007.15651."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_cut.generator import Generator
from ganforge_cut.importer import import_cut
from ganforge_cut.mirroring import coin, mirror
from ganforge_cut.patch_nce import batch_patch_nce, patch_nce
from ganforge_cut.patch_sampler import PatchSampler


@hookimpl
def register_networks(register: Register) -> None:
    register("generator", Generator)
    register("patch_sampler", PatchSampler)


@hookimpl
def register_losses(register: Register) -> None:
    register("patch_nce", patch_nce)
    register("batch_patch_nce", batch_patch_nce)


@hookimpl
def register_ops(register: Register) -> None:
    register("coin", coin)
    register("mirror", mirror)


@hookimpl
def register_importers(register: Register) -> None:
    register("cut", import_cut)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
