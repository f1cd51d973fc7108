"""The built-in plugin: the parts that every recipe needs, on the same hooks as anybody's."""

from __future__ import annotations

import torch

from ganforge import Register, hookimpl
from ganforge.builtin import augmentations, callbacks, datasets, losses, metrics, ops, schedules

# These two cannot take a step without a closure, or without sparse gradients.
NOT_FOR_PLAYERS = {"LBFGS", "SparseAdam", "Optimizer"}


@hookimpl
def register_losses(register: Register) -> None:
    for loss in (losses.l1, losses.l2, losses.smooth_l1):
        register(loss.__name__, loss)


@hookimpl
def register_ops(register: Register) -> None:
    for op in (ops.concat, ops.noise, ops.one_hot, ops.random_labels, ops.shuffle):
        register(op.__name__, op)
    register("inception", metrics.Inception)


@hookimpl
def register_optimizers(register: Register) -> None:
    for name, optimizer in vars(torch.optim).items():
        if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer) and name not in NOT_FOR_PLAYERS:
            register(name.lower(), optimizer)


@hookimpl
def register_schedules(register: Register) -> None:
    for schedule in (
        schedules.constant,
        schedules.cosine,
        schedules.exponential,
        schedules.glide,
        schedules.half_life,
        schedules.linear_decay,
        schedules.polynomial,
        schedules.ramp,
        schedules.step_decay,
        schedules.warmup,
    ):
        register(schedule.__name__, schedule)


@hookimpl
def register_datasets(register: Register) -> None:
    register("unpaired_folders", datasets.UnpairedFolders)
    register("paired_folders", datasets.PairedFolders)
    register("image_folder", datasets.ImageFolder)
    register("class_folders", datasets.ClassFolders)
    register("multi_folders", datasets.MultiFolders)
    register("unpaired_shards", datasets.UnpairedShards)
    register("image_shards", datasets.ImageShards)
    register("class_shards", datasets.ClassShards)
    register("paired_shards", datasets.PairedShards)
    register("shapes", datasets.Shapes)


@hookimpl
def register_augmentations(register: Register) -> None:
    for augmentation in augmentations.ALL:
        register(augmentation.__name__, augmentation)


@hookimpl
def register_metrics(register: Register) -> None:
    for metric in (metrics.absolute_error, metrics.psnr, metrics.ssim):
        register(metric.__name__, metric)
    register("translation_error", metrics.TranslationError)
    register("lpips", metrics.Lpips)
    register("fid", metrics.FrechetDistance)
    register("kid", metrics.KernelDistance)
    register("precision_recall", metrics.PrecisionRecall)


@hookimpl
def register_callbacks(register: Register) -> None:
    register("progress", callbacks.Progress)
    register("tensorboard", callbacks.TensorBoard)
    register("panels", callbacks.Panels)
    register("doctor", callbacks.Doctor)
