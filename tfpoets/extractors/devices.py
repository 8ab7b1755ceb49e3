"""The GPUs of this machine."""
from __future__ import annotations

import shutil
from pathlib import Path

from tfpoets.tf_runtime import import_tensorflow


def has_nvidia_driver() -> bool:
    """Return whether there are signs of an NVIDIA driver; whether TensorFlow can use the GPU is not checked."""
    return bool(shutil.which("nvidia-smi")) or Path("/dev/nvidia0").exists()


def has_gpu() -> bool:
    """Return whether TensorFlow finds a GPU; TensorFlow is imported only if there are signs of an NVIDIA driver."""
    return has_nvidia_driver() and bool(import_tensorflow().config.list_physical_devices("GPU"))


def gpu_names() -> list[str]:
    """Return the names of the GPUs that TensorFlow finds, such as "NVIDIA H200"; see `has_gpu`."""
    if not has_nvidia_driver():
        return []
    config = import_tensorflow().config
    return [str(config.experimental.get_device_details(gpu).get("device_name", gpu.name))
            for gpu in config.list_physical_devices("GPU")]
