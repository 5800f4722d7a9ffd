"""edge.cert.status: each host with TLS is asked for by its name, and its certificate checked."""

import datetime as dt

import edge
from xyn_kit import Failure, Request, action


@action
def certificates(request: Request) -> dict[str, object]:
    wanted = edge.read(request.config.get("edge"))
    hosts = [each for each in wanted["hosts"] if each["tls"] != "off"]
    own = ""
    if any(each["tls"] == "internal" for each in hosts):
        own = request.ask("caddy", "GET", "/pki/ca/local")["json"]["root_certificate"]
    now = dt.datetime.fromisoformat(request.now)
    found, problems = [], {}
    for each in hosts:
        # Of *.example.net any name shows the certificate.
        name = each["host"].replace("*", "any", 1)
        tls = {"server_name": name, **({"ca": own} if each["tls"] == "internal" else {})}
        try:
            shown = request.ask("edge", "GET", edge.MARK, tls=tls)["certificate"]
        except Failure as failure:
            problems[each["host"]] = str(failure)
            continue
        left = dt.datetime.fromisoformat(shown["not_after"]) - now
        found.append(
            {
                "host": each["host"],
                "issuer": shown["issuer"],
                "not_after": shown["not_after"],
                "days_left": left.days,
            }
        )
    least = min((each["days_left"] for each in found), default=None)
    return {"certificates": found, "least_days_left": least, "problems": problems}


if __name__ == "__main__":
    certificates()
