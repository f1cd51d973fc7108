"""ONNX: for onnxruntime and all that reads ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ganforge.errors import UsageError
from ganforge.inference.export.exportable import Exportable
from ganforge.inference.export.formats import Format, Runner
from ganforge.inference.export.program import trace


class Onnx(Format):
    """A `.onnx` file, weights and all."""

    suffix = ".onnx"
    modules = ("onnx", "onnxscript", "onnxruntime")

    def write(self, exportable: Exportable, path: Path) -> Exportable:
        traced = trace(exportable)
        try:
            program: Any = torch.onnx.export(
                traced.program,
                dynamo=True,
                verbose=False,
                input_names=exportable.graph.names,
                output_names=[exportable.graph.signal],
                dynamic_shapes=traced.shapes,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise UsageError(f"{exportable.graph.text} cannot be written as ONNX: {reason}") from error
        for name, value in traced.exportable.metadata().items():
            program.model.metadata_props[f"ganforge.{name}"] = str(value)
        program.save(path, external_data=False)
        return traced.exportable

    def open(self, exportable: Exportable, path: Path) -> Runner:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        def run(inputs: Any) -> torch.Tensor:
            named = {name: value.numpy() for name, value in zip(exportable.graph.names, inputs, strict=True)}
            return torch.from_numpy(session.run(None, named)[0])

        return run
