"""Measure bottlenecks per second from a local disk and from a local S3 server with a latency of 50 ms.

    python -m tests.benchmarks.scale_cloud --photos=FOLDER [--server=static|moto] [--latency=0.05] [--rounds=5]

Both are measured in turn, with an empty cache each time. The server runs in a process of its own, and its CPU time is
stated, because it uses the same cores. moto takes about 5 ms per request; the static server, which answers
the requests for lists and objects that s3fs sends, takes less. `--read_ahead=1` shows the time of one request at a
time.
"""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from tfpoets.data import read_ahead, read_dataset
from tfpoets.extractors import ExecutionOptions, ExtractorOptions, extract_bottlenecks, open_extractor

BUCKET = "bucket"
TICKS = os.sysconf("SC_CLK_TCK")


class StaticServer:
    """The part of S3 that reading needs: ListObjectsV2 with a delimiter, on one page, and GetObject with a range."""

    def __init__(self, root: Path, latency: float):
        self._latency = latency
        self._objects = {path.relative_to(root).as_posix(): path.read_bytes()
                         for path in sorted(root.rglob("*")) if path.is_file()}

    async def serve(self) -> None:
        """Print the port, and answer requests until the process is ended."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1000)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode()
                await asyncio.sleep(self._latency)
                url = urllib.parse.urlsplit(request.split()[1])
                key = urllib.parse.unquote(url.path).removeprefix(f"/{BUCKET}").lstrip("/")
                query = dict(urllib.parse.parse_qsl(url.query))
                body = self._objects.get(key, b"") if key else self._list(query.get("prefix", "")).encode()
                head = f"HTTP/1.1 {206 if key else 200} OK\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    def _list(self, prefix: str) -> str:
        below = [key for key in self._objects if key.startswith(prefix)]
        folders = sorted({key[len(prefix):].split("/")[0] for key in below if "/" in key[len(prefix):]})
        return "<ListBucketResult><IsTruncated>false</IsTruncated>" + "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self._objects[key])}</Size><ETag>\"{hash(key)}\"</ETag></Contents>"
            for key in below if "/" not in key[len(prefix):]) + "".join(
            f"<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>" for folder in folders
        ) + "</ListBucketResult>"


def serve_moto(root: Path, latency: float) -> None:
    """Start moto with a copy of a folder, print the port, and answer requests until the process is ended."""
    from tests.data.cloud_server import running_cloud_server
    with running_cloud_server() as cloud:
        for path in root.rglob("*"):
            if path.is_file():
                cloud.put(path.relative_to(root).as_posix(), path.read_bytes())
        cloud.app.delay = latency
        print(cloud.endpoint.rpartition(":")[2], flush=True)
        while True:
            time.sleep(3600)


@contextlib.contextmanager
def running_server(kind: str, root: Path, latency: float) -> Iterator[int]:
    """Start a server in a process of its own, set the environment variables for it, and yield its process ID."""
    command = [sys.executable, "-m", "tests.benchmarks.scale_cloud", f"--photos={root}", f"--server={kind}",
               f"--latency={latency}", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        os.environ.update(AWS_ENDPOINT_URL=f"http://127.0.0.1:{process.stdout.readline().strip()}",
                          AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1",
                          AWS_EC2_METADATA_DISABLED="true")
        try:
            yield process.pid
        finally:
            process.kill()


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Print the photos per second, and the CPU time per photo of this process and of the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--server", choices=("static", "moto"), default="static")
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--read_ahead", type=int, default=read_ahead.MAX_FILES)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    if args.serve:
        if args.server == "moto":
            serve_moto(args.photos, args.latency)
        asyncio.run(StaticServer(args.photos, args.latency).serve())
    read_ahead.MAX_FILES = args.read_ahead
    extractor = open_extractor(ExtractorOptions(model_dir=Path("tf_files/models")))
    rates: dict[str, list[float]] = {"disk": [], "cloud": []}
    with running_server(args.server, args.photos.resolve(), args.latency) as server:
        for _ in range(args.rounds):
            for name, location in (("disk", str(args.photos)), ("cloud", f"s3://{BUCKET}")):
                with tempfile.TemporaryDirectory() as cache:
                    connecting = time.perf_counter()
                    dataset = read_dataset(location)
                    listing = time.perf_counter() - connecting
                    started, cpu, server_cpu = time.perf_counter(), time.process_time(), cpu_seconds(server)
                    result = extract_bottlenecks(dataset, extractor, cache, (), ExecutionOptions(args.workers, False))
                    seconds, n = time.perf_counter() - started, len(result.features)
                    rates[name].append(n / seconds)
                    print(f"{name:5}  {n} photos, {n / seconds:5.1f}/s, CPU per photo "
                          f"{(time.process_time() - cpu) / n * 1e3:.1f} ms, of the server "
                          f"{(cpu_seconds(server) - server_cpu) / n * 1e3:.1f} ms; before that, {listing:.1f} s to "
                          "connect and list", flush=True)
    disk, cloud = (statistics.median(rates[name]) for name in ("disk", "cloud"))
    print(f"median: disk {disk:.1f}/s, cloud {cloud:.1f}/s, {cloud / disk:.1%} of it; "
          f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
