"""An HTTP server for a classifier."""
from .app import create_app
from .inference_pool import InferencePool, Limits
from .server import run_server

__all__ = ["InferencePool", "Limits", "create_app", "run_server"]
