"""What native code says is kept away; what Python says is not."""
from __future__ import annotations

import subprocess
import sys

SPEAK = """
import os, sys, threading
from tfpoets.cli.messages import configure_messages
from tfpoets.progress import progress_bar
from tfpoets.tf_runtime import redirect_native_stderr
configure_messages("INFO")
bar = progress_bar(2, "Bar", "photo")
inside, done = threading.Event(), threading.Event()

def another():
    with redirect_native_stderr():
        inside.set()
        done.wait(10)

thread = threading.Thread(target=another)
thread.start()
inside.wait(10)
with redirect_native_stderr():
    os.write(2, b"native while both\\n")
os.write(2, b"native while one\\n")
print("python meanwhile", file=sys.stderr)
done.set()
thread.join()
os.write(2, b"native after\\n")
print("python after", file=sys.stderr)
"""


def test_python_is_heard_while_native_code_is_not() -> None:
    said = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, text=True, timeout=60).stderr
    assert said.splitlines() == ["python meanwhile", "native after", "python after"]
