"""The series of an endpoint by the API: what can be asked for, and what is refused before anything is read."""

from tests.api.conftest import Api

REFUSED = [
    ({"minutes": "nan"}, "minutes must be above 0, and at most 20160"),
    ({"minutes": "1e308"}, "minutes must be above 0, and at most 20160"),
    ({"minutes": "5", "step": "0.5"}, "step must be from 1 s to 14 days, and give at most 1000 points."),
    ({"minutes": "5", "step": "nan"}, "step must be from 1 s to 14 days"),
    ({"minutes": "5", "step": "inf"}, "step must be from 1 s to 14 days"),
    ({"minutes": "5", "step": "1e300"}, "step must be from 1 s to 14 days"),
    ({"minutes": "20160", "step": "2"}, "give at most 1000 points"),
    ({"minutes": "5", "until": "nan"}, "until must be a number"),
    ({"minutes": "5", "until": "-inf"}, "until must be a number"),
]


async def test_what_makes_no_sense_is_refused_and_a_time_far_away_has_no_points(api: Api) -> None:
    await api.house.create("wine")
    for asked, sentence in REFUSED:
        answer = await api.http.get("/api/tidegate/v1/endpoints/wine/series", params=asked)
        assert (answer.status_code, sentence in answer.json()["message"]) == (400, True), answer.text
    for until in ("-1e18", "0", "1e18"):
        asked = {"minutes": "5", "until": until, "step": "1209600"}
        answer = await api.http.get("/api/tidegate/v1/endpoints/wine/series", params=asked)
        assert answer.json() == {"endpoint": "wine", "step_seconds": 1209600.0, "points": []}
