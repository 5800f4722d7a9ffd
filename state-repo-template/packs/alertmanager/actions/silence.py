"""alertmanager.silence.create: a silence says when it ends, and whether it is there already."""

import datetime as dt

from xyn_kit import Failure, Request, action, log


@action
def silence(request: Request) -> dict[str, object]:
    given = request.inputs
    matchers = [
        {"name": name, "value": value, "isRegex": False, "isEqual": True}
        for name, value in sorted(given["labels"].items())
    ]
    matchers += [{"isRegex": False, "isEqual": True, **each} for each in given["matchers"]]
    if not matchers:
        raise Failure(
            "no_matchers", "labels or matchers say which alerts: all of them are never silenced"
        )
    start = moment(given["start"] or request.now)
    end = moment(given["end"]) if given["end"] else start + dt.timedelta(minutes=given["minutes"])
    if end <= start:
        raise Failure("bad_time", f"the silence would end at {end.isoformat()}, before it begins")
    comment = f"{given['comment']} (Xyn run {request.run_id})"
    for each in request.ask("alertmanager", "GET", "/silences")["json"]:
        over = each["status"]["state"] == "expired"
        if not over and each["comment"] == comment and as_set(each["matchers"]) == as_set(matchers):
            log("it is there already")
            return {"id": each["id"], "end": each["endsAt"], "created": False}
    made = {
        "matchers": matchers,
        "startsAt": start.isoformat(),
        "endsAt": end.isoformat(),
        "createdBy": given["created_by"],
        "comment": comment,
    }
    try:
        answer = request.ask("alertmanager", "POST", "/silences", json=made)
    except Failure as failure:
        if failure.details.get("status") == 400:
            raise Failure(
                "refused", f"Alertmanager refuses it: {failure.details['body']}"
            ) from failure
        raise
    return {"id": answer["json"]["silenceID"], "end": made["endsAt"], "created": True}


def as_set(matchers: list) -> set:
    return {tuple(sorted(each.items())) for each in matchers}


def moment(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise Failure("bad_time", f"{text!r} is no time of ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


if __name__ == "__main__":
    silence()
