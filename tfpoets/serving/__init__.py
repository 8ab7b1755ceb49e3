"""An HTTP server for a classifier."""
from .access import AccessRules
from .app import create_app
from .inference_pool import InferencePool, Limits
from .server import run_server

__all__ = ["AccessRules", "InferencePool", "Limits", "create_app", "run_server"]
