"""Folders are read: which layout they have, by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from ganforge import UsageError, images
from ganforge.builtin.datasets.layout.model import HELD_OUT, SPLITS, Fault, Folder, Kind, Layout, role_of, some
from ganforge.images.listing import Listing, did_you_mean, list_images, scan, visible_folders


def read_layout(root: Path, kind: Kind) -> Layout:
    """What a dataset of a kind finds at a root. Whether it can be trained on, its `faults` say.

    Raises:
        EnvironmentFault: a folder cannot be read.
    """
    match kind:
        case "two_domains" | "two_folders":
            return _of_roles(root, kind, "AB")
        case "pairs":
            return _of_roles(root, kind, "")
        case "classes":
            return _of_classes(root)
    return _of_one_folder(root)


def find_layout(root: Path) -> Layout:
    """How the pictures below a folder are laid out, as its folders' names tell.

    Raises:
        UsageError: there is no such folder, or no picture in it; or they tell two layouts.
        EnvironmentFault: a folder cannot be read.
    """
    if not root.is_dir():
        missing = "is no folder" if root.exists() else f"does not exist{did_you_mean(root)}"
        raise UsageError(
            f"{root} {missing}",
            "name a folder of pictures, or fetch a published one: "
            "`ganforge data ls` lists them, `ganforge data download NAME` fetches one",
        )
    layout = read_layout(root, _likely(root))
    if any(folder.found.pictures for folder in layout.folders):
        return layout
    if layout.ambiguity:
        raise UsageError(str(layout.ambiguity))
    raise UsageError(
        f"there are no pictures in {root} ({', '.join(sorted(images.SUFFIXES))})",
        "it should hold trainA and trainB; or train, with pairs side by side; or a folder a class; or pictures",
    )


def _likely(root: Path) -> Kind:
    tops = [path for path in visible_folders(root) if list_images(path)]
    roles = {path: role for path in tops if (role := role_of(path.name))}
    flat = [path for path, (_, domain) in roles.items() if not domain and _holds_pictures(path)]
    if any(domain for _, domain in roles.values()):
        if flat and any(roles[path][0] == "train" for path in flat):
            raise UsageError(
                f"{root} has both {some([path.name for path in tops])}: two domains, or pairs side by side?",
                f"say which: --layout two_domains, two_folders or pairs; {flat[0].name} or the others are left out",
            )
        return "two_domains"
    splits = [path for path, (_, domain) in roles.items() if not domain]
    if splits and flat == splits and any(roles[path][0] == "train" for path in splits):
        return "pairs"
    return "one_folder" if not splits and _holds_pictures(root) else "classes"


def _of_roles(root: Path, kind: Kind, domains: str) -> Layout:
    """The folders named after splits, with a domain or without."""
    folders: list[Folder] = []
    others: list[Folder] = []
    for path in visible_folders(root):
        split, domain = role_of(path.name) or ("", "")
        if split and bool(domain) == bool(domains):
            folders.append(Folder(path, path.name, split, domain, scan(path)))
        else:
            others.append(Folder(path, path.name, found=scan(path)))
    folders.sort(key=lambda folder: (SPLITS.index(folder.split), folder.domain))
    return Layout(root, kind, tuple(folders), *_aside(root, others), _named_twice(root, folders))


def _named_twice(root: Path, folders: list[Folder]) -> Fault | None:
    """Two folders in one role, such as val and valid."""
    roles = Counter((folder.split, folder.domain) for folder in folders)
    twice = [folder.name for folder in folders if roles[folder.split, folder.domain] > 1]
    if not twice:
        return None
    return Fault("ambiguous", f"{root} has {' and '.join(twice)}, which mean the same", "rename one, or move it away")


def _of_classes(root: Path) -> Layout:
    """A folder a class, in train and in what is held out, or at the root."""
    tops = [Folder(path, path.name, found=scan(path)) for path in visible_folders(root)]
    roles = {top.path: role for top in tops if (role := role_of(top.name))}
    deep = [top for top in tops if top.path in roles and not roles[top.path][1] and _inside(top)[0]]
    of_train = [top for top in deep if roles[top.path][0] == "train"]
    others = [top for top in tops if top not in deep]
    ambiguity = _ambiguous_classes(root, roles, deep, of_train, [top for top in others if top.found.pictures])
    if not of_train or ambiguity:
        classes = [Folder(top.path, top.name, "", top.name, top.found) for top in tops if top.found.pictures]
        _, around = _aside(root, [top for top in tops if not top.found.pictures])
        return Layout(root, "classes", tuple(classes), (), around, ambiguity)
    folders: list[Folder] = []
    beside, around = _aside(root, others)
    for top in sorted(deep, key=lambda top: SPLITS.index(roles[top.path][0])):
        inside, loose = _inside(top)
        split = roles[top.path][0]
        folders += [Folder(top.path / name, f"{top.name}/{name}", split, name, found) for name, found in inside.items()]
        around += loose
    twice = _named_twice(root, [Folder(top.path, top.name, roles[top.path][0]) for top in deep])
    return Layout(root, "classes", tuple(folders), beside, around, twice)


def _ambiguous_classes(
    root: Path, roles: Mapping[Path, tuple[str, str]], deep: list[Folder], of_train: list[Folder], others: list[Folder]
) -> Fault | None:
    """Whether folders named after splits might be classes, or the other way round."""
    flat = [top.name for top in others if top.path in roles]
    held_out = [name for name in flat if name.lower() != "train"]
    cure = "name `root` more closely, or rename the folders or move them away: train/CLASS and test/CLASS, or CLASS"
    if deep and not of_train:
        names = [top.name for top in deep]
        return Fault("ambiguous", f"{root} has folders of classes in {some(names)}, but no train", cure)
    if of_train and len(deep) == len(of_train) and others:
        names = [top.name for top in others]
        text = f"{root} has folders in {of_train[0].name} that hold pictures, and pictures in {some(names)}"
        return Fault("ambiguous", f"{text}: which are the classes?", cure)
    if not deep and held_out:
        text = f"{root} has pictures in {some(flat)}: the names of splits or domains, and not of classes"
        return Fault("ambiguous", text, cure)
    return None


def _of_one_folder(root: Path) -> Layout:
    """All below the root; of train only, where something is held out."""
    tops = [Folder(path, path.name, found=scan(path)) for path in visible_folders(root)]
    roles = {top.path: role for top in tops if top.found.pictures and (role := role_of(top.name))}
    held_out = [top.name for top in tops if roles.get(top.path, ("train", ""))[0] in HELD_OUT]
    if not held_out:
        return Layout(root, "one_folder", (Folder(root, root.resolve().name, found=scan(root)),))
    folders = [Folder(top.path, top.name, *roles[top.path], top.found) for top in tops if top.path in roles]
    folders.sort(key=lambda folder: SPLITS.index(folder.split))
    ambiguity = _named_twice(root, folders)
    if any(folder.domain for folder in folders) or not any(folder.split == "train" for folder in folders):
        text = f"{root} has pictures in {some(held_out)}, which look kept for testing"
        ambiguity = Fault("ambiguous", text, "let `root` name the folder to learn from, or rename that one")
    aside = _aside(root, [top for top in tops if top.path not in roles])
    return Layout(root, "one_folder", tuple(folders), *aside, ambiguity)


def _inside(top: Folder) -> tuple[dict[str, Listing], Listing]:
    """What lies in each folder of a folder that has pictures, and the rest."""
    inside: dict[str, list[Path]] = {}
    loose: list[Path] = []
    for path in top.found.pictures:
        first, *more = path.relative_to(top.path).parts
        (inside.setdefault(first, []) if more else loose).append(path)
    rest = Listing(tuple(loose), top.found.others, top.found.hidden, top.found.empty, top.found.again)
    ordered = sorted(inside, key=lambda name: images.natural_order(top.path / name))
    return {name: Listing(tuple(inside[name])) for name in ordered}, rest


def _aside(root: Path, tops: Iterable[Folder]) -> tuple[tuple[Folder, ...], Listing]:
    """The folders with pictures that are no part of a layout; and what else lies there, and in the root."""
    beside, around = [], scan(root, deep=False)
    for top in tops:
        if top.found.pictures:
            beside.append(top)
        else:
            nothing = top.found == Listing()
            around += Listing(empty=(top.path,)) if nothing else top.found
    return tuple(beside), around


def _holds_pictures(folder: Path) -> bool:
    """Whether pictures lie in the folder itself."""
    return any(path.parent == folder for path in list_images(folder))
