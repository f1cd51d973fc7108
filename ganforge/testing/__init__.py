"""Checks for the authors of plugins: does a part keep what the engine relies on?

```python
from ganforge.testing import check_loss

def test_charbonnier():
    check_loss(charbonnier, epsilon=1e-2)
```

Each check raises `CheckFailed`, an AssertionError that says what is wrong and what to do. With pytest the checks and
`run_recipe` are also fixtures of the same names: nothing needs to be imported.
"""

from ganforge.testing.augmentations import check_augmentation
from ganforge.testing.checking import CheckFailed, parts_of
from ganforge.testing.datasets import check_dataset
from ganforge.testing.losses import check_loss
from ganforge.testing.networks import check_network
from ganforge.testing.ops import check_op
from ganforge.testing.parity import Parity
from ganforge.testing.recipes import RecipeRun, run_recipe

__all__ = [
    "CheckFailed",
    "Parity",
    "RecipeRun",
    "check_augmentation",
    "check_dataset",
    "check_loss",
    "check_network",
    "check_op",
    "parts_of",
    "run_recipe",
]
