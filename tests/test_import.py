"""Importing the library does not change the state of the host program."""
from __future__ import annotations

import ast
import configparser
import importlib
import os
import re
import subprocess
import sys
import shutil
from pathlib import Path

import pytest

import tfpoets

ROOT = Path(__file__).resolve().parents[1]

STATE = """
import logging, os, sys, warnings
{setup}

def state():
    values = {{"environment": dict(os.environ), "descriptors": [os.fstat(fd)[:2] for fd in (0, 1, 2)],
              "open": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else [],
              "streams": (sys.stdin, sys.stdout, sys.stderr), "warnings": list(warnings.filters),
              "logging": (logging.root.level, list(logging.root.handlers)), "hooks": (sys.excepthook, sys.path[:])}}
    if "tensorflow" in sys.modules:
        tensorflow = sys.modules["tensorflow"]
        values["tensorflow"] = (tensorflow.config.experimental.tensor_float_32_execution_enabled(),
                                tensorflow.config.optimizer.get_experimental_options(),
                                tensorflow.get_logger().level,
                                tensorflow.config.threading.get_intra_op_parallelism_threads(),
                                tensorflow.config.threading.get_inter_op_parallelism_threads())
    return values

before = state()
{code}
after = state()
assert before == after, [name for name in before if before[name] != after[name]]
{check}
"""


def assert_state_unchanged(code: str, setup: str = "", check: str = "") -> None:
    """Run code in a new process, and check that it does not change the state of the process."""
    script = STATE.format(code=code, setup=setup, check=check)
    completed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert completed.returncode == 0, completed.stderr[-2000:]


def test_importing_tfpoets_loads_no_other_package_and_changes_no_state() -> None:
    assert_state_unchanged("import tfpoets",
                           check="heavy = {'numpy', 'tensorflow', 'PIL', 'scipy', 'tqdm'} & set(sys.modules)\n"
                                 "assert not heavy, heavy")


NULL_HANDLERS = """
import importlib, logging, sys
for name in {modules}:
    for loaded in [module for module in sys.modules if module.split(".")[0] == "tfpoets"]:
        del sys.modules[loaded]
    logger = logging.getLogger("tfpoets")
    logger.handlers.clear()
    importlib.import_module(name)
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers), name
"""


def test_importing_any_module_that_logs_adds_a_handler_that_discards_messages() -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "tfpoets").rglob("*.py")
               if "logging.getLogger(__name__)" in path.read_text("utf-8")]
    assert len(modules) > 15
    completed = subprocess.run([sys.executable, "-c", NULL_HANDLERS.format(modules=modules)], cwd=ROOT,
                               capture_output=True, text=True, timeout=120)
    assert completed.returncode == 0, completed.stderr[-2000:]


def test_importing_the_command_line_loads_no_slow_modules_of_the_standard_library() -> None:
    script = ("import sys; sys.modules.update(dict.fromkeys(('logging', 'typing', 'subprocess', 'argparse')))\n"
              "import tfpoets.cli.main")  # None in sys.modules makes an import fail
    completed = subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True,
                               timeout=60, env={"PYTHONPATH": str(ROOT)})
    assert completed.returncode == 0, completed.stderr[-2000:]


def test_importing_tfpoets_keeps_the_tensorflow_settings_of_the_program() -> None:
    assert_state_unchanged(
        "import tfpoets; tfpoets.retrain, tfpoets.load_classifier",
        setup="import tensorflow\ntensorflow.config.experimental.enable_tensor_float_32_execution(True)\n"
              "tensorflow.config.optimizer.set_experimental_options({'constant_folding': True})\n"
              "import PIL.Image, scipy, sklearn, matplotlib  # these change the state when they are imported")


LABELLING = """
import sys
from tfpoets.cli.label_image import main
assert main(["--graph=classifier/g.tflite", "photos"]) == 0
heavy = {"scipy", "sklearn", "tqdm", "tensorflow", "matplotlib", "jinja2", "threadpoolctl"}
training_packages = ["tfpoets." + name for name in ("training", "pipeline", "doctor", "report")]
print("loaded:", *sorted(name for name in sys.modules if name.split(".")[0] in heavy
                         or ".".join(name.split(".")[:2]) in training_packages))
"""


def test_labelling_photos_loads_no_training_packages(tmp_path: Path) -> None:
    # tarfile's extractall(filter=...) is missing from Python 3.11.2.
    shutil.unpack_archive(ROOT / "tests" / "compatibility" / "version_f862d5e.tar.gz", tmp_path)
    completed = subprocess.run([sys.executable, "-c", LABELLING], cwd=tmp_path, capture_output=True, text=True,
                               timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert completed.returncode == 0, completed.stderr[-2000:]
    assert completed.stdout.splitlines()[-1].strip() == "loaded:"


def test_all_public_names_can_be_imported() -> None:
    for name in tfpoets.__all__:
        assert getattr(tfpoets, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'retrian'"):
        tfpoets.retrian


@pytest.mark.parametrize("package", ["data", "exporting", "extractors", "graphs", "inference"])
def test_lazy_names_are_those_that_type_checkers_see(package: str) -> None:
    module = importlib.import_module(f"tfpoets.{package}")
    block, = (node for node in ast.parse(Path(module.__file__).read_text("utf-8")).body if isinstance(node, ast.If))
    listed = {alias.name: f"tfpoets.{package}.{node.module}" for node in block.body for alias in node.names}
    assert sorted(listed) == module.__all__
    for name, origin in listed.items():
        assert getattr(module, name) is getattr(importlib.import_module(origin), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing


def test_only_the_command_line_package_mentions_flags() -> None:
    flag = re.compile(r"(?<![\w-])--[a-z][a-z_0-9]*_?[a-z0-9]+\b(?!-)")
    mentions = {path.relative_to(ROOT).as_posix(): flags
                for path in sorted((ROOT / "tfpoets").rglob("*.py")) if "cli" not in path.parts
                if (flags := set(flag.findall(path.read_text("utf-8"))))}
    assert mentions == {}


def test_loading_a_classifier_imports_no_code_for_networks_and_downloads() -> None:
    script = ("import sys, tfpoets.inference.load; from tfpoets.cli import label_image\n"
              "assert not {'tfpoets.download', 'tfpoets.extractors.hub', 'ssl', 'tensorflow'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", script], check=True)


def test_type_checkers_see_the_public_names() -> None:
    stub = ast.parse((ROOT / "tfpoets" / "__init__.pyi").read_text("utf-8"))
    declared = {alias.asname: f"tfpoets.{node.module}" for node in stub.body if isinstance(node, ast.ImportFrom)
                for alias in node.names}
    assert declared == {name: getattr(tfpoets, name).__module__ for name in tfpoets.__all__}


def test_the_modules_of_the_public_names_are_checked_strictly() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    strict = {name: section for name, section in setup.items() if name.startswith("mypy-")}
    assert len(strict) == 1
    for name, section in strict.items():
        modules = name.removeprefix("mypy-").split(",")
        assert {getattr(tfpoets, public).__module__ for public in tfpoets.__all__} <= set(modules)
        assert all((ROOT / f"{module.replace('.', '/')}.py").is_file() for module in modules)
        assert section.getboolean("disallow_untyped_defs") and section.getboolean("disallow_any_generics")
