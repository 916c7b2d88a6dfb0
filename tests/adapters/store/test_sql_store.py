"""The SQL store's own promises: durability, migrations, damage."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, insert

from tidegate.adapters.store.migrations import alembic_config
from tidegate.adapters.store.sql_store import SqlStore
from tidegate.adapters.store.tables import ENDPOINTS, METADATA
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig, PendingConfig
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.errors import ConfigurationError, Unavailable
from tidegate.core.legacy_products.enablement import Enablement
from tidegate.core.rollout.switch import switch_of
from tidegate.ports import Event


def plain(name: str, description: str = "") -> Endpoint:
    return Endpoint(name, name, "admin", 1.0, 1.0, description=description)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tidegate.db"


async def test_what_was_written_is_there_after_reopening(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    created = await store.create_endpoint(plain("wine"))
    await store.close()
    store = await SqlStore.open(f"sqlite:///{file}")
    assert await store.endpoint("wine") == created
    await store.close()


async def test_sqlite_is_set_to_survive_power_loss(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    with store._engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert values == ["wal", 2, 1, 5000]
    await store.close()


async def test_the_migrations_make_the_schema_of_the_models(file: Path) -> None:
    await (await SqlStore.open(f"sqlite:///{file}")).close()
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


OLD_ENDPOINT = """{"id": "e1", "name": "wine", "creator": "admin", "created_at": 1.0, "updated_at": 2.0,
 "active": {"version": 1, "served_entities": [{"name": "wine-1", "model": {"name": "wine", "version": "1"},
   "resolved": {"name": "wine", "version": "1"}}], "routes": [{"served_entity": "wine-1", "traffic_percentage": 100}]},
 "pending": {"config": {"version": 2, "served_entities": [], "routes": []}, "started_at": 3.0},
 "generation": 2, "observed_generation": 1, "resource_version": 5}"""


async def test_a_database_of_the_first_schema_is_brought_up_to_date_and_its_rows_load(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
        row = {"id": "e1", "name": "wine", "resource_version": 5, "spec": OLD_ENDPOINT}
        connection.execute(insert(ENDPOINTS).values(row))
    engine.dispose()
    store = await SqlStore.open(f"sqlite:///{file}")
    endpoint = await store.endpoint("wine")
    assert endpoint is not None
    assert endpoint.pending == PendingConfig(EndpointConfig(2, (), ()), 3.0)
    assert (endpoint.previous, endpoint.rejected, endpoint.next_version) == (None, (), 3)
    assert endpoint.switching is None
    await store.save_endpoint(endpoint.promoted(4.0), switch_of(endpoint.let_through(4.0)))
    assert [switch.at for switch in await store.switches("e1")] == [4.0]
    assert endpoint.face is None
    await store.save_enablement(Enablement(Product.SERVERLESS, "wine", "admin", 5.0))
    assert [enablement.model for enablement in await store.enablements()] == ["wine"]
    await store.close()


async def test_a_newer_database_is_left_alone(file: Path) -> None:
    await (await SqlStore.open(f"sqlite:///{file}")).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigurationError, match="newer Tidegate: its schema is '9999'"):
        await SqlStore.open(f"sqlite:///{file}")


async def test_a_file_that_is_no_database_is_named(file: Path) -> None:
    file.write_bytes(b"not a database at all, really not" * 100)
    with pytest.raises(ConfigurationError, match=r"tidegate\.db cannot be opened: file is not a database"):
        await SqlStore.open(f"sqlite:///{file}")


async def test_a_damaged_database_is_named(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    for number in range(50):
        await store.create_endpoint(plain(f"e{number}", description="x" * 1000))
    await store.close()
    content = bytearray(file.read_bytes())
    content[8192:40960] = b"\xff" * (40960 - 8192)
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"tidegate\.db"):
        await SqlStore.open(f"sqlite:///{file}")


@pytest.mark.parametrize("uri", ["nonsense", "nosuch://here/db", "sqlite:////no/such/directory/tidegate.db"])
async def test_a_uri_that_leads_nowhere_is_named(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=uri.rpartition("/")[2]):
        await SqlStore.open(uri)


async def test_a_full_disk_is_a_sentence_and_loses_nothing(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    await store.create_endpoint(plain("before"))
    with store._engine.connect() as connection:  # SQLite's own limit gives the very error of a full disk
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Unavailable, match="Free some space") as caught:
        await store.create_endpoint(plain("after", description="x" * 100_000))
    assert caught.value.retry_after
    assert [endpoint.name for endpoint in await store.endpoints()] == ["before"]
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    await store.create_endpoint(plain("after", description="x" * 100_000))
    await store.close()


async def test_a_lost_table_is_unavailable(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE locks")
    connection.close()
    with pytest.raises(Unavailable, match="no such table"):
        await store.lock_of("abc")
    await store.close()


async def test_a_record_that_cannot_be_read_is_unavailable(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    await store.create_endpoint(plain("wine"))
    with sqlite3.connect(file) as connection:
        connection.execute("""UPDATE endpoints SET spec = '{"id": 3}'""")
    connection.close()
    with pytest.raises(Unavailable, match="cannot be read"):
        await store.endpoint("wine")
    await store.close()


async def test_a_closed_store_is_unavailable(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.endpoints()


async def test_the_event_loop_runs_on_while_the_database_is_locked(file: Path) -> None:
    store = await SqlStore.open(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.ensure_future(store.create_endpoint(plain("wine")))
    for _ in range(20):  # the loop turns; the write waits on its thread
        await asyncio.sleep(0.005)
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    assert (await writing).name == "wine"
    await store.close()


async def test_the_history_of_an_endpoint_is_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.adapters.store.sql_store._EVENTS_KEPT", 3)
    store = await SqlStore.open(f"sqlite:///{file}")
    await store.create_endpoint(plain("wine"))
    for number in range(10):
        await store.add_event(Event("wine", float(number), "Note", "text"))
    assert [event.at for event in await store.events("wine")] == [7.0, 8.0, 9.0]
    await store.close()


WRITER = """
import asyncio, sys
from tidegate.adapters.store.sql_store import SqlStore
from tidegate.core.endpoint.endpoint import Endpoint

async def main():
    store = await SqlStore.open(sys.argv[1])
    for number in range(100_000):
        await store.create_endpoint(Endpoint(f"{sys.argv[2]}{number}", f"{sys.argv[2]}{number}", "admin", 1.0, 1.0))
        print(f"{sys.argv[2]}{number}", flush=True)

asyncio.run(main())
"""


async def test_kill_9_loses_nothing_that_was_acknowledged(file: Path) -> None:
    acknowledged: set[str] = set()
    for life, count in (("a", 1), ("b", 40), ("c", 97)):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, f"sqlite:///{file}", life], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        with writer.stdout:
            for _ in range(count):
                acknowledged.add(writer.stdout.readline().strip())
            writer.send_signal(signal.SIGKILL)
            acknowledged.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        assert writer.wait(10) == -signal.SIGKILL
    store = await SqlStore.open(f"sqlite:///{file}")
    found = {endpoint.name for endpoint in await store.endpoints()}
    await store.close()
    assert len(acknowledged) >= 138
    assert acknowledged <= found
