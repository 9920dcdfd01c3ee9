"""A small PyTorch CNN for handwritten digits: train it, load it, analyse it, open it."""

from mnist_helpers.checkpoint import load_checkpoint, save_checkpoint
from mnist_helpers.config import CHECKPOINT_PATH, DATA_DIR, RUNS_DIR, Config, InputError
from mnist_helpers.data import load_splits
from mnist_helpers.model import SimpleCNN, make_model

__all__ = [
    "CHECKPOINT_PATH",
    "DATA_DIR",
    "RUNS_DIR",
    "Config",
    "InputError",
    "SimpleCNN",
    "load_checkpoint",
    "load_splits",
    "make_model",
    "save_checkpoint",
]
