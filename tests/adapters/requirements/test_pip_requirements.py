"""What a model's requirements files mean."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tidegate.adapters.requirements.pip_requirements import name_of, parse_requirements
from tidegate.core.errors import BuildFailed


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)


def test_comments_blank_lines_and_continuations_are_pips(tmp_path: Path) -> None:
    lines = [
        "# all",
        "",
        "alpha==1.0  # one",
        "beta\\",
        ">=2",
        "gamma @ https://host/g.zip#sha256=ab",
        "  delta; extra=='x'",
        "epsilon==1\\",
        "# a comment ends it",
        "zeta==1 \\",
        "    --hash=sha256:ab \\",
        "    --hash=sha256:cd  # two",
    ]
    assert parse_requirements(lines, tmp_path).requirements == [
        *("alpha==1.0", "beta>=2", "gamma @ https://host/g.zip#sha256=ab", "delta; extra=='x'"),
        *("epsilon==1", "zeta==1 --hash=sha256:ab --hash=sha256:cd"),
    ]


def test_named_files_are_read_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path, requirements="alpha\n-r more/a.txt\n-c limits.txt\n", limits="beta<2\n-r requirements.txt\n")
    write(tmp_path / "more", a="--requirement=b.txt\n", b="beta\n-r a.txt\n")
    found = parse_requirements(["-r requirements.txt"], tmp_path)
    assert found.requirements == ["alpha", "beta"]
    assert found.constraints == ["beta<2", "alpha", "beta"]


@pytest.mark.parametrize("name", ["absent.txt", "../outside.txt", "/etc/passwd"])
def test_files_outside_the_model_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    model = tmp_path / "model"
    model.mkdir()
    with pytest.raises(BuildFailed, match=r"not in the model|nor a file in the model"):
        parse_requirements([f"-r {name}"], model)


def test_options_are_kept_in_the_form_that_uv_takes(tmp_path: Path) -> None:
    lines = [
        *(
            "-i https://a/simple --extra-index-url=https://b/simple",
            "-fhttps://c/links",
            "--no-binary :all:",
            "--no-index",
        ),
        *("--pre", "--trusted-host b", "--prefer-binary", "alpha==1 --hash=sha256:ab --global-option=x"),
    ]
    found = parse_requirements(lines, tmp_path)
    assert found.options == [
        *("--index-url https://a/simple", "--extra-index-url https://b/simple", "--find-links https://c/links"),
        *("--no-binary :all:", "--no-index"),
    ]
    assert found.arguments == ["--allow-insecure-host", "b"]
    assert found.prereleases
    assert found.requirements == ["alpha==1 --hash=sha256:ab"]
    assert found.names_index
    assert len(found.notes) == 2
    assert "--prefer-binary" in found.notes[0]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("code/x-1.0-py3-none-any.whl", "${TIDEGATE_MODEL_DIR}/code/x-1.0-py3-none-any.whl"),
        ("./code/x-1.0-py3-none-any.whl[fast]", "${TIDEGATE_MODEL_DIR}/code/x-1.0-py3-none-any.whl[fast]"),
        ("y-1.0-py3-none-any.whl ; extra=='x'", "${TIDEGATE_MODEL_DIR}/y-1.0-py3-none-any.whl ; extra=='x'"),
        ("y-1.0-py3-none-any.whl", "${TIDEGATE_MODEL_DIR}/y-1.0-py3-none-any.whl"),
        ("x @ file:code/x-1.0-py3-none-any.whl", "x @ file://${TIDEGATE_MODEL_DIR}/code/x-1.0-py3-none-any.whl"),
        ("-e ./code", "${TIDEGATE_MODEL_DIR}/code"),
    ],
)  # fmt: skip
def test_files_of_the_model_do_not_depend_on_where_it_lies(tmp_path: Path, line: str, kept: str) -> None:
    (tmp_path / "code").mkdir()
    for wheel in ("code/x-1.0-py3-none-any.whl", "y-1.0-py3-none-any.whl"):
        (tmp_path / wheel).touch()
    found = parse_requirements([line], tmp_path)
    assert found.requirements == [kept]
    assert len(found.local) == 1
    assert found.local[0].exists()


@pytest.mark.parametrize(
    "line",
    [
        *("/", "/proc/kmsg", "..", "../outside", "./link", "code/../../outside", "-e /srv", "-e ./link"),
        *(
            "file:///proc/kmsg",
            "FILE:///proc/kmsg",
            "file://localhost/proc/kmsg",
            "file:../outside",
            "file:%2e%2e/outside",
        ),
        *("x @ file:///srv/x", "x @ FILE:///srv/x", "x@/srv/x", "x @ ../outside", "x @ file:%2e%2e/outside"),
        *("git+file:///srv/x", "x @ git+file:///srv/x", "GIT+FILE:///srv/x", "${TIDEGATE_MODEL_DIR}/../outside"),
        *("x @ ${TIDEGATE_MODEL_DIR}/../outside", "-r link/a.txt", "-c ../outside/a.txt", "-r circle", "file:%00"),
        *(
            "--find-links /srv",
            "--find-links link",
            "--find-links file:///srv",
            "--find-links ${TIDEGATE_MODEL_DIR}/..",
        ),
        *("--index-url /srv", "--index-url file:///srv", "--extra-index-url=FILE:///srv"),
        "--extra-index-url ${TIDEGATE_MODEL_DIR}/../outside",
    ],
)
@pytest.mark.parametrize("constraint", [False, True])
def test_nothing_outside_the_model_is_named(tmp_path: Path, line: str, constraint: bool) -> None:
    (tmp_path / "outside").mkdir()
    write(tmp_path / "outside", a="alpha")
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / "link").symlink_to(tmp_path / "outside")
    (model / "circle").symlink_to(model / "circle")
    write(model, limits=line)
    with pytest.raises(BuildFailed, match=r"not in the model|nor a file in the model|no URL of another machine"):
        parse_requirements(["-c limits.txt" if constraint else line], model)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("${TIDEGATE_MODEL_DIR}/code", "${TIDEGATE_MODEL_DIR}/code"),
        ("x @ ./code", "x @ file://${TIDEGATE_MODEL_DIR}/code"),
        ("x @ file:a%20b", "x @ file://${TIDEGATE_MODEL_DIR}/a%20b"),
        ("x @ ./100%", "x @ file://${TIDEGATE_MODEL_DIR}/100%25"),
        ("./100%", "${TIDEGATE_MODEL_DIR}/100%"),
        ("./inner", "${TIDEGATE_MODEL_DIR}/code"),
    ],
)
def test_a_path_means_to_uv_what_was_checked(tmp_path: Path, line: str, kept: str) -> None:
    for folder in ("code", "a b", "100%", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "inner").symlink_to(tmp_path / "code")
    assert parse_requirements([line], tmp_path).requirements == [kept]


def test_a_name_that_uv_would_expand_is_refused(tmp_path: Path) -> None:
    (tmp_path / "${HOME}").mkdir()
    with pytest.raises(BuildFailed, match="which means a variable"):
        parse_requirements(["./${HOME}"], tmp_path)


def test_long_gaps_are_one_space(tmp_path: Path) -> None:
    assert parse_requirements([f"alpha{' ' * 60_000}==1", " " * 60_000], tmp_path).requirements == ["alpha ==1"]


def test_wheelhouses_are_found_beside_their_file_or_in_the_model(tmp_path: Path) -> None:
    (tmp_path / "more" / "near").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    write(tmp_path / "more", a="--find-links near\n--find-links ./far\n")
    found = parse_requirements(["-r more/a.txt"], tmp_path)
    assert found.options == [f"--find-links ${{TIDEGATE_MODEL_DIR}}/{name}" for name in ("more/near", "far")]
    assert found.wheelhouses == [tmp_path / "more" / "near", tmp_path / "far"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("code/gone.whl", "'code/gone.whl', which is neither"),
        ("--find-links gone", "'gone', which is neither a package nor a file in the model"),
        ("-r folder", "'folder', which is a folder"),
        ("a" * 3000, "longer than 2000 characters: 'aaa"),
        ("-r long.txt", "longer than 1 MiB|more than 1 MiB"),
        ("-r longer.txt", "more than 1 MiB"),
        ("--index-url", "'--index-url' in the model's requirements has no value"),
        ("--index-url 'x", "cannot be read"),
        ("-r bare.txt", "have --require-hashes, but 'beta' has no --hash"),
    ],
)
def test_a_line_that_cannot_be_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path, bare="--require-hashes\nalpha==1 --hash=sha256:ab\nbeta\n", longer="# a\n" * 2**19)
    write(tmp_path, long="-r half.txt\n-c half.txt\n-c other.txt\n", half="alpha\n" * 90_000, other="beta\n" * 90_000)
    with pytest.raises(BuildFailed, match=complaint):
        parse_requirements([line], tmp_path)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Scikit_Learn[x]>=1; python_version>'3'", "scikit-learn"),
        ("mlflow @ git+https://host/other.git@v1", "mlflow"),
        ("git+https://host/mlflow.git@v1#egg=mlflow", "mlflow"),
        ("git+https://host/x.git@v1#subdirectory=a&egg=mlflow", "mlflow"),
        ("git+https://host/mlflow/mlflow@v1", "mlflow"),
        ("mlflow --hash=sha256:ab", "mlflow"),
        ("${TIDEGATE_MODEL_DIR}/code/My_Package-1.0-py3-none-any.whl", "my-package"),
    ],
)
def test_names_are_seen_in_every_form(line: str, name: str) -> None:
    assert name_of(line) == name


LINE_ENDS = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize(
    "line",
    [
        *("alpha==1{}-r /etc/passwd", "https://x/y.whl{}-r /etc/passwd", "${{A}}{}-e /root", "git+https://x/y{}/srv"),
        *("alpha==1 --hash=sha256:a{}/etc", "alpha; python_version>'3'{}/srv", "./code{}/srv", "alpha{}==1"),
        *('--index-url "https://x{}-r /etc/passwd"', '--only-binary ":none:{}-r /etc"', "-f 'https://x{}-f /etc'"),
        *("--trusted-host 'a{}b'", "--pre{}-r /etc/passwd", "-e https://x/y.whl{}/srv", "x @ file:code{}/srv"),
    ],
)
def test_a_line_holds_no_other_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "code").mkdir()
    for end in (*LINE_ENDS, "\0", "\x1b"):
        with pytest.raises(BuildFailed, match="has a line end or another control character"):
            parse_requirements([line.format(end)], tmp_path)


def test_a_line_end_at_the_end_of_a_line_and_tabs_are_pips(tmp_path: Path) -> None:
    lines = ["alpha==1\n", "\tbeta\t# two\r\n", "gamma # a\x1b[1m comment", "delta ; extra=='x'\n\n"]
    assert parse_requirements(lines, tmp_path).requirements == ["alpha==1", "beta", "gamma", "delta ; extra=='x'"]


@pytest.mark.parametrize(
    "line",
    [
        *("--trusted-host --config-file=/etc/passwd", "--trusted-host=-c/etc/passwd", "--trusted-host '-c /etc'"),
        *("--index-url 'https://x --find-links /etc'", "--extra-index-url '${A} -f /etc'", "-f 'https://x -f /etc'"),
        *("--no-binary ':all: -r /etc/passwd'", "--only-binary '\t-r'", "--no-binary --pre", "-r -x", "-f -x", "-e -x"),
    ],
)
def test_an_options_value_holds_no_other_option(tmp_path: Path, line: str) -> None:
    with pytest.raises(BuildFailed, match=r"begins with '-' or has a gap|has a gap"):
        parse_requirements([line], tmp_path)


@pytest.mark.parametrize(
    "name", ["code #b", "code --hash=sha256:a", "code -r x", "code ;b", "code[b]", "code#b", "code\n-r x", "code\x85b"]
)
@pytest.mark.parametrize("form", ["file:{}", "--find-links file:{}", "x @ file:{}"])
def test_a_files_name_that_uv_would_cut_is_refused(tmp_path: Path, name: str, form: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    line = form.format(quote(name))
    if form.startswith("x @") and name.isprintable():  # written with quotes
        assert parse_requirements([line], tmp_path).local == [tmp_path / name]
        return
    with pytest.raises(BuildFailed, match=r"of the model has a character in its name|nor a file in the model"):
        parse_requirements([line], tmp_path)


def test_names_that_uv_is_asked_for_are_no_options(tmp_path: Path) -> None:
    assert parse_requirements(["https://host/-rfile", "git+https://h/x#egg=-e", "alpha"], tmp_path).names == {"alpha"}
