import json

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.record.guard import guarded

SECRET = 'hunter2"hunter2'


def test_a_segment_without_secrets_is_given_back_byte_for_byte() -> None:
    content = b'{"a": 1.0,"b":"\\u0000"}\n'

    assert guarded(Redactor([SECRET]), content) == (content, [])


def test_a_line_with_a_secret_stays_one_json_object_and_the_others_stay_as_they_are() -> None:
    lines = [json.dumps({"a": 1}), json.dumps({"k": f"x{SECRET}", "n": [SECRET, 2.5]})]
    content = "".join(f"{line}\n" for line in lines).encode()

    clean, places = guarded(Redactor([SECRET]), content)
    first, second = clean.splitlines()

    assert first.decode() == lines[0]
    assert json.loads(second) == {"k": "x[redacted]", "n": ["[redacted]", 2.5]}
    assert places == ["None: k", "None: n[0]"]


def test_a_place_names_the_line_and_the_field_where_the_value_should_have_been_caught() -> None:
    line = {"kind": "run", "run": {"run_id": "r-1"}, "steps": [{"outputs": {"body": SECRET}}]}

    clean, places = guarded(Redactor([SECRET]), json.dumps(line).encode() + b"\n")

    assert places == ["run r-1: steps[0].outputs.body"]
    assert SECRET.encode() not in clean


def test_nothing_is_replaced_from_one_value_into_the_next() -> None:
    begin, end = "-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----"
    content = (json.dumps({"a": begin, "b": 1, "c": end}) + "\n").encode()

    assert json.loads(guarded(Redactor(), content)[0])["b"] == 1
