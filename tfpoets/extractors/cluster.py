"""Connect to a Ray cluster, and check that its nodes can process the photos."""
from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import pickle
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tfpoets
from tfpoets.data import FileReader
from tfpoets.errors import ExtractorError, OptionError, PhotoError, one_line
from tfpoets.parallel import core_count
from tfpoets.tf_runtime import redirect_native_stderr


log = logging.getLogger(__name__)

Result = TypeVar("Result")

# An address that does not answer within this time, in seconds, is reported.
CONNECTION_SECONDS = 30
# The memory in which the processes of a node exchange photos and results, for `ray_address=local`. They are small.
LOCAL_STORE_BYTES = 512 * 2 ** 20
# The packages whose versions can change a bottleneck.
PACKAGES = ("pillow", "pillow-heif", "ai-edge-litert", "numpy")
# Ray sends usage statistics, and Ray and its C++ part write to the terminal, unless these are set before the import.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
               "RAY_IGNORE_UNHANDLED_ERRORS": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def check_ray_address(option: str, address: str) -> None:
    """Raise OptionError unless an address is "", "auto", "local" or ray://HOST:PORT."""
    if not isinstance(address, str) or not (address in ("", "auto", "local") or _host_and_port(address)):
        raise OptionError(f"`{option}`={address} is not the address of a Ray cluster.",
                          "Use auto, local or ray://HOST:PORT.")


def _host_and_port(address: str) -> tuple[str, int] | None:
    match = re.fullmatch(r"ray://(\[[0-9A-Fa-f:.]+\]|[^\s/:]+):(\d{1,5})", address)
    return (match[1].strip("[]"), int(match[2])) if match and 0 < int(match[2]) < 2 ** 16 else None


class Cluster:
    """A connection to a Ray cluster; close it when it is no longer needed.

    A program that has connected to a cluster keeps its connection, whatever the address.

    Args:
        address: "auto" for the cluster that this machine belongs to, "local" for a new one with the cores of this
            machine, or ray://HOST:PORT for the Ray Client server of another one.

    Raises:
        ExtractorError: Ray is not installed, there is no such cluster, or it has a different version of Ray or Python.

    Attributes:
        n_cpus, n_gpus: The numbers of cores and GPUs of all nodes.
    """

    def __init__(self, address: str):
        self.address = address
        ray = _import_ray()
        self._is_own = not ray.is_initialized()
        if self._is_own:
            _connect(ray, address)
        self.is_client = ray.util.client.ray.is_connected()
        resources = ray.cluster_resources()
        self.n_cpus, self.n_gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        if self.n_cpus < 1:
            self.close()
            raise ExtractorError("The Ray cluster has no cores.", "Add nodes with cores to it, see docs/scale.md.")

    def close(self) -> None:
        """Disconnect, and end the cluster if it is local."""
        if self._is_own:
            self._is_own = False
            _import_ray().shutdown()

    def has_cores(self) -> bool:
        """Return whether the cluster still has nodes with cores."""
        return _import_ray().cluster_resources().get("CPU", 0) >= 1

    def check_nodes(self, samples: Sequence[tuple[FileReader, str]]) -> None:
        """Check that all nodes have the same version of this library, and can read the photos.

        Args:
            samples: Some photos: their sources and URIs. Those that this machine cannot read are ignored.

        Raises:
            ExtractorError: A node differs from this machine.
        """
        ray = _import_ray()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        photos = pickle.dumps([sample for sample in samples if not _reason(*sample)])
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        checks = [ray.remote(_make_node_check()).options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            _versions(), photos) for node in nodes]
        for node, check in zip(nodes, checks):
            try:
                problem = ray.get(check, timeout=2 * CONNECTION_SECONDS)
            except ray.exceptions.RayError as error:
                log.debug("The node %s was not checked: %s", node["NodeManagerAddress"], error)
                continue  # it has been removed meanwhile, or is overloaded
            if problem:
                raise ExtractorError(f"The node {node['NodeManagerAddress']} {problem[0]}", problem[1])


def _import_ray() -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import pyarrow  # noqa: F401 - Ray Data needs it
        import ray
        import ray.util.client
        return ray
    except ImportError:
        raise ExtractorError("`ray_address` needs Ray, which is not installed.",
                             "Run: pip install 'ray[data]'") from None


def _connect(ray: Any, address: str) -> None:
    """Connect; raise ExtractorError if that fails."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        with redirect_native_stderr():
            _init(ray, address, options)
    except Exception as error:  # Ray raises many kinds of errors
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise _connection_error(address, error) from error
    # Ray prints the errors of lost workers on standard output, whatever the logging options are. There, they would
    # interrupt JSON.
    ray._private.worker.print_worker_logs = lambda *_: None


def _init(ray: Any, address: str, options: Mapping[str, Any]) -> None:
    if address == "local":
        ray.init("local", num_cpus=core_count(), include_dashboard=False, object_store_memory=LOCAL_STORE_BYTES,
                 **options)
    else:
        _within_time(lambda: _connect_to_running(ray, address, options))


def _connect_to_running(ray: Any, address: str, options: Mapping[str, Any]) -> None:
    endpoint = _host_and_port(address)
    if endpoint:  # the error of a closed port is clearer than that of Ray
        socket.create_connection(endpoint, CONNECTION_SECONDS).close()
    ray.init(address, **options)


def _connection_error(address: str, error: Exception) -> ExtractorError:
    if address == "local":
        return ExtractorError(f"Ray cannot be started: {one_line(error)}", "Omit `ray_address`.")
    if "version" in str(error).lower():
        return ExtractorError(f"The Ray cluster has other versions than this machine: {one_line(error, 400)}",
                              "Install the same versions of Ray and Python on all machines.")
    if isinstance(error, TimeoutError):
        reason = f"it does not answer within {CONNECTION_SECONDS} s."
    else:
        reason = one_line(error)
    if address == "auto":
        return ExtractorError(f"No Ray cluster was found on this machine: {reason}",
                              "Start one (docs/scale.md), or use the address of one that runs elsewhere.")
    return ExtractorError(f"The Ray cluster {address} cannot be reached: {reason}",
                          "Check that it runs, and that its address has the port of the Ray Client server, usually "
                          "10001.")


def _within_time(function: Callable[[], Result]) -> Result:
    """Return what a function returns, or raise its error, or TimeoutError after CONNECTION_SECONDS."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend([function(), None])
        except BaseException as error:  # raised again below
            outcome.extend([None, error])
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(CONNECTION_SECONDS)
    if not outcome:
        raise TimeoutError
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def _versions() -> dict[str, str]:
    """Return the versions that nodes must have."""
    versions = {"tfpoets": tfpoets.__version__}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _reason(source: FileReader, uri: str) -> str:
    """Return why a photo cannot be opened, or ""."""
    try:
        source.open(uri).close()
        return ""
    except PhotoError as error:
        return str(error)


def _make_node_check() -> Callable[[Mapping[str, str], bytes], tuple[str, str] | None]:
    """Return the function that runs on each node.

    It is defined here because Ray then sends its code, and not only its name: the node may lack this library.
    """
    def check_node(versions: Mapping[str, str], photos: bytes) -> tuple[str, str] | None:
        import importlib.metadata
        import pickle
        for package, version in versions.items():
            try:
                if package == "tfpoets":
                    import tfpoets
                    found = tfpoets.__version__
                else:
                    found = importlib.metadata.version(package)
            except ImportError as error:
                if package != "tfpoets" and not isinstance(error, importlib.metadata.PackageNotFoundError):
                    raise
                found = ""
            if found != version:
                return (f"has {package} {found}, but this machine has {version}." if found else
                        f"does not have {package}.",
                        f"Install the same version on all nodes: pip install {package}=={version}")
        from tfpoets.errors import PhotoError
        for source, uri in pickle.loads(photos):
            try:
                source.open(uri).close()
            except PhotoError as error:
                return (f"cannot read {uri}: {error}.",
                        "Put the photos on a drive that all nodes have under the same path, or in a bucket.")
        return None
    return check_node
