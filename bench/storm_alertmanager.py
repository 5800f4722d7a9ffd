"""A real Alertmanager between the storm and the node: it groups, sends, and sends again."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Final

from bench.node import free_port, listening
from bench.place import BenchError, Place, wait_for
from bench.storm_alerts import Alert

PROGRAM: Final = "prometheus-alertmanager"
AT_ONCE: Final = 50
"""Alerts of one post, as a Prometheus sends them."""

_SETTINGS: Final = """\
route:
  receiver: xyn
  group_by: [alertname, cluster]
  group_wait: 200ms
  group_interval: 1s
receivers:
  - name: xyn
    webhook_configs: [{url: "URL"}]
"""


class Alertmanager:
    """Runs until the place is left."""

    def __init__(self, place: Place, hook: str) -> None:
        found = shutil.which(PROGRAM)
        if found is None:
            raise BenchError(
                f"no {PROGRAM} here: sh .ci/neighbours/alertmanager.sh (as root) installs it"
            )
        self.program = found
        self._port = free_port()
        settings = place.folder / "alertmanager.yml"
        settings.write_text(_SETTINGS.replace("URL", hook), encoding="utf-8")
        log = place.folder / "alertmanager.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    found,
                    f"--config.file={settings}",
                    f"--storage.path={place.folder / 'alertmanager'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    "--cluster.listen-address=",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        place.stack.callback(_stop, process)
        wait_for(lambda: listening(self._port), "Alertmanager", seconds=30)

    def post(self, alerts: Sequence[Alert]) -> None:
        """Hand in alerts as a Prometheus does, in their order."""
        for start in range(0, len(alerts), AT_ONCE):
            self._post(
                [
                    {
                        "labels": each["labels"],
                        "annotations": each["annotations"],
                        "startsAt": each["startsAt"],
                        "endsAt": "2099-01-01T00:00:00Z",
                        "generatorURL": each["generatorURL"],
                    }
                    for each in alerts[start : start + AT_ONCE]
                ]
            )

    def _post(self, alerts: Sequence[Alert]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/api/v2/alerts",
            json.dumps(alerts).encode(),
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                answer.read()
        except urllib.error.URLError as error:
            raise BenchError(f"Alertmanager took no alerts: {error}") from error


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(20)
