"""What models of all ages ask for."""

import json
from pathlib import Path

import pytest

from tests.adapters.package_index import make_model
from tidegate.adapters.requirements.model_requirements import read_requirements
from tidegate.core.errors import BuildFailed


def test_a_model_as_it_is_logged_today(tmp_path: Path) -> None:
    conda = {"dependencies": ["python=3.9.1", "pip<=23", {"pip": ["mlflow==3.1.0", "ignored"]}]}
    wanted = read_requirements(make_model(tmp_path, "mlflow==3.1.0\nalpha==1.0\n", python="3.10.13", conda=conda))
    assert wanted.python == "3.10.13"
    assert wanted.pip.requirements == ["mlflow==3.1.0", "alpha==1.0"]
    assert wanted.pip.notes == []
    assert wanted.conda == ()


def test_a_model_of_mlflow_1_has_conda_only(tmp_path: Path) -> None:
    conda = {"dependencies": ["python=3.8.18", "scikit-learn=0.24.2", "pip", {"pip": ["mlflow"]}]}
    wanted = read_requirements(make_model(tmp_path, conda=conda))
    assert wanted.python == "==3.8.18"
    assert wanted.pip.requirements == ["mlflow", "scikit-learn==0.24.2"]
    assert wanted.conda == ("scikit-learn",)


def test_requirements_txt_stands_over_the_pip_list_of_conda(tmp_path: Path) -> None:
    model = make_model(tmp_path, conda={"dependencies": ["python=3.9", {"pip": ["mlflow", "old"]}]})
    (model / "requirements.txt").write_text("mlflow\nnew\n")
    assert read_requirements(model).pip.requirements == ["mlflow", "new"]


def test_conda_packages_that_mlflow_would_drop_are_installed(tmp_path: Path) -> None:
    conda = {"dependencies": ["python=3.10.13", "alpha=1.0.0", "beta=2.0.0", {"pip": ["mlflow"]}]}
    wanted = read_requirements(make_model(tmp_path, "mlflow\nbeta==3.0.0\n", python="3.10.13", conda=conda))
    assert wanted.pip.requirements == ["mlflow", "beta==3.0.0", "alpha==1.0.0"]
    assert "alpha==1.0.0" in wanted.pip.notes[0]


def test_the_conda_file_that_the_model_names_is_read(tmp_path: Path) -> None:
    model = make_model(tmp_path, env="my.yaml", files={"my.yaml": "dependencies: [python=3.9, {pip: [mlflow, a]}]"})
    assert read_requirements(model).pip.requirements == ["mlflow", "a"]


def test_the_lookup_client_is_stripped_and_the_log_says_so(tmp_path: Path) -> None:
    wanted = read_requirements(make_model(tmp_path, "mlflow\ndatabricks-feature-lookup==1.*\n"))
    assert wanted.pip.requirements == ["mlflow"]
    assert "databricks-feature-lookup==1.* is left out" in wanted.pip.notes[0]


@pytest.mark.parametrize("requirement", ["mlflow-skinny==3.1.0", "git+https://host/mlflow.git@x", "mlflow[extras]"])
def test_mlflow_in_any_form_is_enough(tmp_path: Path, requirement: str) -> None:
    assert read_requirements(make_model(tmp_path, f"{requirement}\n")).pip.requirements == [requirement]


def test_mlflow_is_added_at_the_version_that_logged_the_model(tmp_path: Path) -> None:
    wanted = read_requirements(make_model(tmp_path, "alpha\n"))
    assert wanted.pip.requirements == ["alpha", "mlflow==3.1.0"]
    assert "mlflow==3.1.0 is added" in wanted.pip.notes[0]


def test_setuptools_of_the_build_is_a_wish_unless_it_is_required(tmp_path: Path) -> None:
    conda = {"dependencies": ["setuptools=68.0.0", {"pip": ["mlflow"]}]}
    assert read_requirements(make_model(tmp_path / "1", conda=conda)).setuptools == "setuptools==68.0.0"
    assert read_requirements(make_model(tmp_path / "2", "mlflow\nsetuptools<70\n", conda=conda)).setuptools is None


def test_python_may_come_from_the_flavor_alone(tmp_path: Path) -> None:
    assert read_requirements(make_model(tmp_path / "1", "mlflow\n", python_version="3.9.18")).python == "3.9.18"
    assert read_requirements(make_model(tmp_path / "2", "mlflow\n")).python == ""


def test_the_recorded_python_stands_beside_what_is_asked_for(tmp_path: Path) -> None:
    conda = {"dependencies": ["python>=3.9", {"pip": ["mlflow"]}]}
    wanted = read_requirements(make_model(tmp_path, conda=conda, python_version="3.10.13"))
    assert (wanted.python, wanted.recorded) == (">=3.9", "3.10.13")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("python_env.yaml", "python: 3.10\ndependencies: [mlflow]\n"),
        ("conda.yaml", "channels: [1.10, yes]\ndependencies: [python=3.10, {pip: mlflow}]\n"),
        ("MLmodel", "flavors: {python_function: {env: null, python_version: 3.10}}\nmlflow_version: 2.10\n"),
    ],
)
def test_a_version_without_quotes_is_a_text(tmp_path: Path, name: str, text: str) -> None:
    (make_model(tmp_path, env="conda.yaml") / name).write_text(text)
    wanted = read_requirements(tmp_path)
    assert wanted.python in ("3.10", "==3.10.*")
    assert wanted.pip.requirements == (["mlflow==2.10"] if name == "MLmodel" else ["mlflow"])


@pytest.mark.parametrize("text", ["- -r more.txt", "-r more.txt"])
def test_dependencies_may_be_one_text(tmp_path: Path, text: str) -> None:
    files = {
        "more.txt": "mlflow\n",
        "python_env.yaml": f"build_dependencies: setuptools==1.10\ndependencies:\n  {text}\n",
    }
    wanted = read_requirements(make_model(tmp_path, env="conda.yaml", files=files))
    assert (wanted.pip.requirements, wanted.setuptools) == (["mlflow"], "setuptools==1.10")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("flavors: {sklearn: {}}", "no python_function flavor"),
        ("[1, 2]", "'MLmodel' is not a YAML mapping"),
        ("a: [", "'MLmodel' is not a YAML mapping"),
        ("flavors: {python_function: {env: {virtualenv: ../p.yaml}}}", "no file '../p.yaml'"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "p.yaml").write_text("python: '3.10'")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text(text)
    with pytest.raises(BuildFailed, match=complaint):
        read_requirements(tmp_path / "m")


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("python_env.yaml", f"{BOMB}python: *a11\ndependencies: [mlflow]\nbuild_dependencies: []\n"),
        ("MLmodel", f"{BOMB}flavors: {{python_function: {{python_version: *a11, env: *a11}}}}\nmlflow_version: *a11\n"),
    ],
)
def test_lists_that_aliases_make_endless_are_never_written_out(tmp_path: Path, name: str, text: str) -> None:
    (make_model(tmp_path, "mlflow\n") / name).write_text(text)
    assert read_requirements(tmp_path).python == ""


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("python_env.yaml", f"{BOMB}dependencies: *a11\n", "not a list of lines"),
        ("python_env.yaml", "dependencies: {a: b}\n", "not a list of lines"),
        ("python_env.yaml", "dependencies: " + "[" * 5000 + "]" * 5000, "not a YAML mapping"),
        ("python_env.yaml", "#" * (256 * 2**10 + 1), "has more than 256 KiB"),
        ("conda.yaml", "#" * (256 * 2**10 + 1), "has more than 256 KiB"),
        ("MLmodel", "#" * (16 * 2**20 + 1), "has more than 16 MiB"),
        ("MLmodel", "[" + "a," * 20_001 + "]", "has more than 20,000 values"),
        ("MLmodel", "flavors: python_function\n", "no python_function flavor"),
    ],
)
def test_files_that_would_take_long_or_are_none_are_refused(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    (make_model(tmp_path, "mlflow\n") / name).write_text(text)
    with pytest.raises(BuildFailed, match=complaint):
        read_requirements(tmp_path)


@pytest.mark.parametrize("build", ["python_env", "conda pip", "conda"])
def test_no_item_of_a_list_begins_another_line(tmp_path: Path, build: str) -> None:
    item = "alpha>=1\n--find-links=/etc"
    conda = {"dependencies": ["python=3.10", {"pip": ["mlflow", item]}] if build == "conda pip" else ["pip", item]}
    files = {"python_env.yaml": json.dumps({"dependencies": ["mlflow", item]})} if build == "python_env" else {}
    with pytest.raises(BuildFailed, match=r"'alpha>=1\\n--find-links=/etc'"):
        read_requirements(make_model(tmp_path, conda=conda, files=files))


def test_a_block_scalar_is_one_line(tmp_path: Path) -> None:
    env = "dependencies:\n  - |\n    mlflow\n  - >\n    alpha==1\n"
    conda = "dependencies:\n  - |\n    beta=1.0.0\n"
    wanted = read_requirements(
        make_model(tmp_path, files={"python_env.yaml": env, "conda.yaml": conda}, env="conda.yaml")
    )
    assert wanted.pip.requirements == ["mlflow", "alpha==1", "beta==1.0.0"]
