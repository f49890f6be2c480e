"""Big Transfer (BiT): the model, its data, its training and its predictions, in JAX."""

import importlib.util

_missing = [name for name in ("jax", "flax") if importlib.util.find_spec(name) is None]
if _missing:
    raise ImportError(
        f"big_transfer needs {' and '.join(_missing)}, which the base installation does not have: "
        f"pip install .[train]"
    )
