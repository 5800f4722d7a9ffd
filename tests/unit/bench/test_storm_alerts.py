import random
from collections import Counter

from bench.storm_alerts import MOST_IN_A_BODY, alert, bodies, storm

SIZE = 1000
ALERTS = storm(SIZE, 0.3, random.Random(1))


def test_a_storm_has_its_share_of_repeats_in_no_order() -> None:
    found = Counter(each["fingerprint"] for each in ALERTS)

    assert (len(ALERTS), len(found)) == (1000, 700)
    assert [each["fingerprint"] for each in ALERTS[:700]] != list(found)
    assert storm(SIZE, 0.3, random.Random(1)) == ALERTS
    assert storm(SIZE, 0.3, random.Random(2)) != ALERTS


def test_alerts_differ_in_what_they_are_told_apart_by() -> None:
    assert len({alert(number)["fingerprint"] for number in range(SIZE)}) == SIZE
    assert alert(7) == alert(7)


def test_notifications_carry_every_alert_once_for_each_time_it_was_sent() -> None:
    found = bodies(ALERTS, random.Random(1))

    carried = Counter(each["fingerprint"] for body in found for each in body["alerts"])
    assert carried == Counter(each["fingerprint"] for each in ALERTS)


def test_a_notification_is_of_one_group_and_names_no_alert_twice() -> None:
    for body in bodies(ALERTS, random.Random(1)):
        held = body["alerts"]
        assert 1 <= len(held) <= MOST_IN_A_BODY
        assert len({each["fingerprint"] for each in held}) == len(held)
        for name, value in {**body["groupLabels"], **body["commonLabels"]}.items():
            assert {each["labels"][name] for each in held} == {value}
