"""Messages of native code are hidden, and messages of Python are not."""
from __future__ import annotations

import subprocess
import sys

WRITE_MESSAGES = """
import os, sys, threading
from tfpoets.cli.messages import configure_messages
from tfpoets.progress import progress_bar
from tfpoets.tf_runtime import redirect_native_stderr
configure_messages("INFO")
bar = progress_bar(2, "Bar", "photo")
inside, done = threading.Event(), threading.Event()

def hide_in_thread():
    with redirect_native_stderr():
        inside.set()
        done.wait(10)

thread = threading.Thread(target=hide_in_thread)
thread.start()
inside.wait(10)
with redirect_native_stderr():
    os.write(2, b"native while both hide\\n")
os.write(2, b"native while one hides\\n")
print("python meanwhile", file=sys.stderr)
done.set()
thread.join()
os.write(2, b"native after\\n")
print("python after", file=sys.stderr)
"""


def test_native_messages_are_hidden_and_python_messages_are_not() -> None:
    output = subprocess.run([sys.executable, "-c", WRITE_MESSAGES], capture_output=True, text=True, timeout=60).stderr
    assert output.splitlines() == ["python meanwhile", "native after", "python after"]
