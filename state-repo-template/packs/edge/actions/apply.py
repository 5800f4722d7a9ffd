"""edge.config.apply: what Caddy has, what it is to have, and what is different."""

import edge
from xyn_kit import Failure, Request, action, log


@action
def apply(request: Request) -> dict[str, object]:
    wanted = edge.read(request.config.get("edge"))
    has = request.ask("caddy", "GET", "/config/")["json"]
    made = edge.caddy(wanted, has)
    before, after = edge.served(has), edge.served(made)
    told = {
        "changed": made != has,
        "hosts": sorted(after),
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "altered": sorted(
            name for name in after.keys() & before.keys() if after[name] != before[name]
        ),
    }
    if request.inputs["check"] or not told["changed"]:
        return told
    try:
        request.ask("caddy", "POST", "/load", json=made)
    except Failure as failure:
        if failure.details.get("status") == 400:
            message = f"Caddy refuses it and goes on with what it has: {failure.details['body']}"
            raise Failure("config_refused", message) from failure
        raise
    log("applied:", *told["hosts"])
    return told


if __name__ == "__main__":
    apply()
