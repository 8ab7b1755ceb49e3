"""A classifier over HTTP."""
from .app import create_app
from .inference import Inference, Limits
from .server import run_server

__all__ = ["Inference", "Limits", "create_app", "run_server"]
