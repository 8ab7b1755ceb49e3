"""The serving room: a classifier over HTTP, for programs and for people."""
from .app import create_app
from .inference import Inference, Limits
from .server import run_server

__all__ = ["Inference", "Limits", "create_app", "run_server"]
