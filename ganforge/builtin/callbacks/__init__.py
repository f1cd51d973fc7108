"""What people see of a run: a bar or lines on the terminal, TensorBoard, and panels as files."""

from ganforge.builtin.callbacks.doctor import Doctor
from ganforge.builtin.callbacks.panels import Panels
from ganforge.builtin.callbacks.progress import Progress
from ganforge.builtin.callbacks.tensorboard import TensorBoard

__all__ = ["Doctor", "Panels", "Progress", "TensorBoard"]
