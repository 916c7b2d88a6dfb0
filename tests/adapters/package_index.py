"""A package index on loopback with small wheels made on the spot, and models that ask for them."""

import base64
import functools
import http.server
import json
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tidegate.data_directory import DataDirectory
from tidegate.ports import Log


def make_wheel(folder: Path, name: str, version: str, requires: Iterable[str] = (), body: str = "") -> Path:
    """A pure wheel with one module, whose `VERSION` is its version."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    contents = {
        f"{name}.py": f"VERSION = {version!r}\n{body}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path), text)  # undated: the same contents are the same bytes
    return wheel


class PackageIndex:
    """A simple index (PEP 503): folders of wheels, served as they lie. `requests` are the paths that were asked for.

    With `credentials`, `user:password`, others get a 401; with a `path`, what is not below it gets a 403.
    """

    def __init__(self, root: Path, credentials: str = "", path: str = "") -> None:
        self.root, self.credentials, self.path = root, credentials, path
        self.requests: list[str] = []
        self.url = ""

    def add(self, name: str, version: str, requires: Iterable[str] = (), body: str = "") -> Path:
        """Publish a package."""
        return make_wheel(self.root / name, name, version, requires, body)

    @contextmanager
    def serving(self) -> Iterator["PackageIndex"]:
        """Answer on loopback."""
        index = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "Basic ").removeprefix("Basic ")
                if base64.b64decode(given).decode() != index.credentials and index.credentials:
                    self.send_error(401)
                elif not self.path.startswith(f"/{index.path}"):
                    self.send_error(403)
                else:
                    self.path = "/" + self.path[len(index.path) + 1 :].lstrip("/")
                    super().do_GET()

            def log_message(self, *_: Any) -> None:
                index.requests.append(self.path)

        handler = functools.partial(Handler, directory=str(self.root))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_address[1]}/"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def make_model(
    folder: Path,
    requirements: str | None = None,
    *,
    python: str | None = None,
    conda: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    **flavor: Any,
) -> Path:
    """A model's folder as MLflow logs it: with python_env.yaml and requirements.txt, or with conda.yaml only."""
    folder.mkdir(parents=True, exist_ok=True)
    env: Any = "conda.yaml" if requirements is None else {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    pyfunc = {"env": env, "loader_module": "mlflow.sklearn", **flavor}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": pyfunc}, "mlflow_version": "3.1.0"}))
    if requirements is not None:
        python_env = {"build_dependencies": ["pip==23.3"], "dependencies": ["-r requirements.txt"]}
        (folder / "python_env.yaml").write_text(yaml.safe_dump(python_env | ({"python": python} if python else {})))
        (folder / "requirements.txt").write_text(requirements)
    if conda is not None:
        (folder / "conda.yaml").write_text(json.dumps(conda))
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def new_data(root: Path) -> DataDirectory:
    """An empty data directory."""
    data = DataDirectory(root)
    data.create()
    return data


class Lines(list[str]):
    """A log that keeps its lines."""

    @property
    def text(self) -> str:
        return "\n".join(self)

    @property
    def log(self) -> Log:
        return self.append
