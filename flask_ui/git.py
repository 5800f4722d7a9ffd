"""``/git/state.git``: the state repository for ``git clone`` and ``git push``.

Streams both ways; what may be pushed is decided behind git's own hook, which
learns from a ticket who pushes.
"""

import flask

from flask_ui.security import actor
from xyn_reconciler.service import policy
from xyn_reconciler.service.context import Context
from xyn_reconciler.store.repository_server import GitHttp, GitRequest


def routes(context: Context) -> flask.Blueprint:
    git = flask.Blueprint("git", __name__, url_prefix="/git/state.git")
    server = GitHttp(context.repository)

    @git.route("/<path:path>", methods=["GET", "POST"])
    def serve(path: str) -> flask.Response:
        request = flask.request
        answer = server.handle(
            GitRequest(
                method=request.method,
                path=f"/{path}",
                query=request.query_string.decode("latin-1"),
                headers=dict(request.headers.items()),
                body=request.stream,
                ticket=context.ticket(actor()) if path == "git-receive-pack" else None,
                hides_records=not policy.may_read(context, actor(), "records.read"),
            )
        )
        return flask.Response(answer, status=answer.status, headers=answer.headers)

    return git
