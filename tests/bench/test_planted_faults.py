"""Each planted fault takes the place of text that is there once, and is taken back."""

import pytest
from bench.suite import planted_faults
from bench.suite.faults import FAULTS, Fault


def test_there_are_some_for_every_part_of_the_code() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20
    assert {fault.tests.partition("/")[0] for fault in FAULTS} == {
        "gateway",
        "worker",
        "control",
        "engines",
        "core",
        "adapters",
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_it_can_be_planted_and_taken_back(fault: Fault) -> None:
    file = planted_faults._ROOT / "src" / fault.file
    assert file.read_text().count(fault.was) == 1
    assert fault.planted != fault.was
    compile(file.read_text().replace(fault.was, fault.planted), fault.file, "exec")


def test_a_file_is_as_it_was_whatever_happened(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("src") / "file.py"
    file.write_text("a = 1\n")
    with pytest.raises(ZeroDivisionError), planted_faults._planted(file, Fault("", "", "1", "2", "")):
        assert file.read_text() == "a = 2\n"
        raise ZeroDivisionError
    assert file.read_text() == "a = 1\n"
