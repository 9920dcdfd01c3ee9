"""A training run on disk and while it goes on: its folder, its moments, its curves."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "live": ["LiveCurves"],
        "snapshots": ["Snapshots", "load_snapshots"],
    },
)
