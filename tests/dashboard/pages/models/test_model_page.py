"""One registered model's page, and its launch."""

import pytest

from tests.dashboard.model_scene import HOSTILE, register
from tests.dashboard.web_house import WebHouse
from tidegate.control.registry.model_catalog import CatalogDetails
from tidegate.core.endpoint.registered_model import ModelDetails, ModelSignature, RegisteredModel, RegisteredVersion
from tidegate.core.endpoint.served_entity import ModelRef
from tidegate.dashboard.pages.models.model_launch import workload_types
from tidegate.dashboard.pages.models.model_list import path_of
from tidegate.dashboard.pages.models.model_page import model_page
from tidegate.dashboard.pages.models.signature_rows import Field, signature_of


def test_what_may_be_served_are_pointers_and_versions_that_are_ready() -> None:
    model = RegisteredModel("wine", "3", {"Production": "2", "Archived": "1", "None": "3"}, {"next": "3"})
    versions = (RegisteredVersion("3", status="FAILED_REGISTRATION", message="No files."), RegisteredVersion("2"))
    page = model_page(CatalogDetails(ModelDetails(model, "", versions)), 1)
    assert [reference for reference, _ in page.references] == ["@next", "Production", "2"]
    assert [(row.version, row.trouble, row.message) for row in page.rows] == [
        ("3", "not registered", "No files."),
        ("2", "", ""),
    ]


@pytest.mark.parametrize(
    ("inputs", "fields"),
    [
        ('[{"type": "double", "name": "a", "required": false}]', (Field("a", "double", "optional"),)),
        (
            '[{"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [-1, 2]}}]',
            (Field("", "tensor of int8, shape any × 2"),),
        ),
        (
            '[{"type": "object", "name": "o", "properties": {"x": {"type": "array", "items": {"type": "long"}}}}]',
            (Field("o", "{x: array of long}"),),
        ),
        ('[{"type": "map", "values": {"type": "map", "values": 1}}]', (Field("", "map to map to …"),)),
        ('[{"name": "t", "type": "float", "default": 0.5}]', (Field("t", "float", "0.5 if it is not given"),)),
        ("[1, null]", ()),
        ("{}", ()),
        ("nonsense", ()),
        ("[" * 100_000, ()),
        ('[{"name": "\\ud800"}]', ()),  # no text, so it could not be shown
        ('[{"name": "d", "default": ' + "[" * 300 + "]" * 300 + "}]", ()),
        ("", ()),
    ],
)
def test_a_signature_is_a_table_whatever_its_author_wrote(inputs: str, fields: tuple[Field, ...]) -> None:
    assert signature_of(ModelSignature(inputs)).inputs == fields


async def test_the_page_has_versions_and_their_signatures(web: WebHouse) -> None:
    register(web, 0)
    page = await web.text("/models/wine")
    assert page.index("Version 5") < page.index("Version 1")
    assert "<script>alert" not in page
    signature = await web.text("/models/wine/versions/2")
    assert "fixed acidity" in signature
    assert "<i>grape" not in signature
    fragment = await web.http.get("/models/wine/versions/2", headers={"hx-request": "true"})
    assert fragment.text.startswith("<section")
    assert (await web.http.get("/models/beer")).status_code == 404
    assert "no version" in await web.text("/models/wine/versions/77")


async def test_one_click_makes_an_endpoint_and_goes_to_its_build(web: WebHouse) -> None:
    register(web, 0)
    for name in ("wine", "wine-2"):
        answer = await web.http.post("/models/wine/launch")
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/endpoints/{name}/build"
    endpoint = (await web.house.endpoints.get("wine-2")).endpoint
    assert endpoint.latest_config is not None
    (entity,) = endpoint.latest_config.served_entities
    assert (entity.model, entity.resolved.version) == (ModelRef("wine", "@champion"), "2")
    assert (entity.workload_size, entity.scale_to_zero_enabled, entity.name) == ("Small", False, "wine-champion")
    answer = await web.http.post(f"{path_of(HOSTILE)}/launch")
    assert answer.headers["location"] == "/endpoints/b-bold-b-quoted-n-100/build"


def test_a_types_memory_is_told() -> None:
    assert workload_types({"CPU": 4_000_000_000}) == [
        ("CPU", "up to 4.0 GB"),
        ("CPU_MEDIUM", "no limit"),
        ("CPU_LARGE", "no limit"),
    ]


async def test_a_launch_with_options_has_them(web: WebHouse) -> None:
    form = {"name": "cellar", "reference": "3", "size": "Medium", "type": "CPU_LARGE", "zero": "yes", "idle": "60"}
    assert (await web.http.post("/models/wine/launch", data=form)).headers["location"] == "/endpoints/cellar/build"
    config = (await web.house.endpoints.get("cellar")).endpoint.latest_config
    assert config is not None
    (entity,) = config.served_entities
    assert (entity.resolved.version, entity.workload_size, entity.workload_type) == ("3", "Medium", "CPU_LARGE")
    assert (entity.scale_to_zero_enabled, entity.idle_timeout_seconds) == (True, 60.0)


@pytest.mark.parametrize(
    ("model", "form", "sentence"),
    [
        ("wine", {"reference": "9"}, "is not there"),
        ("wine", {"name": "no spaces please", "reference": "1"}, "name"),
        ("wine", {"reference": "1", "size": "Vast"}, "workload_size"),
        ("wine", {"reference": "1", "idle": "soon"}, "no number"),
        ("empty", {}, "no version to serve"),
    ],
)
async def test_a_launch_that_fails_says_why_on_the_models_page(
    web: WebHouse, model: str, form: dict[str, str], sentence: str
) -> None:
    register(web, 0)
    answer = await web.http.post(f"/models/{model}/launch", data=form)
    assert answer.status_code == 303
    page = await web.text(answer.headers["location"])
    assert sentence in page
    assert 'role="alert"' in page


async def test_a_chosen_name_that_is_taken_is_refused(web: WebHouse) -> None:
    await web.ready("wine")
    answer = await web.http.post("/models/wine/launch", data={"name": "wine", "reference": "1"})
    assert "There is an endpoint" in await web.text(answer.headers["location"])
