"""checkmk.downtime.set: Checkmk wants to be told when it begins and when it ends."""

import datetime as dt

from xyn_kit import Failure, Request, action, log

COLLECTIONS = "/domain-types/downtime/collections"


@action
def downtime(request: Request) -> dict[str, object]:
    given = request.inputs
    start = moment(given["start"] or request.now)
    end = moment(given["end"]) if given["end"] else start + dt.timedelta(minutes=given["minutes"])
    if end <= start:
        raise Failure("bad_time", f"the downtime would end at {end.isoformat()}, before it begins")
    comment = f"{given['comment']} (Xyn run {request.run_id})"
    wanted = set(given["services"]) or {None}
    missing = wanted - there(request, comment)
    told = {"start": start.isoformat(), "end": end.isoformat(), "created": bool(missing)}
    if not missing:
        log("it is there already")
        return told
    kind = "service" if given["services"] else "host"
    body = {
        "downtime_type": kind,
        "host_name": given["host"],
        "start_time": told["start"],
        "end_time": told["end"],
        "comment": comment,
    }
    if given["services"]:
        body["service_descriptions"] = sorted(missing)
    asked(request, "POST", f"{COLLECTIONS}/{kind}", json=body)
    return told


def moment(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise Failure("bad_time", f"{text!r} is no time of ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def there(request: Request, comment: str) -> set:
    """The services, or None for the host, that have this very downtime."""
    kind = "service" if request.inputs["services"] else "host"
    query = {"host_name": request.inputs["host"], "downtime_type": kind}
    found = asked(request, "GET", f"{COLLECTIONS}/all", query=query)["json"]["value"]
    facts = [each["extensions"] for each in found]
    return {each.get("service_description") for each in facts if each["comment"] == comment}


def asked(request: Request, method: str, path: str, **more: object) -> dict:
    try:
        return request.ask("checkmk", method, path, **more)
    except Failure as failure:
        raise meant(failure, request.inputs["host"]) from failure


def meant(failure: Failure, host: str) -> Failure:
    """What Checkmk says with a status; a failure that says nothing of its own stays."""
    status, body = failure.details.get("status"), failure.details.get("body", "")
    if status == 400 and "host_name" in body:
        return Failure("host_not_found", f"Checkmk monitors no host {host}")
    told = {
        400: ("refused", f"Checkmk refuses it: {body}"),
        401: ("not_authorized", "Checkmk does not know this user or secret: USER SECRET"),
        403: ("forbidden", "the automation user may not do this in Checkmk"),
        422: ("refused", f"Checkmk refuses it: {body}"),
    }
    return Failure(*told[status]) if status in told else failure


if __name__ == "__main__":
    downtime()
