# Xyn in one container: web, worker and node processes beside each other (`xynctl up`).
#
# compose.yaml starts it with the official Postgres. Both base images are arguments, so that a
# company's own, or one made without a registry, can stand in; it needs Python 3.11 or newer and
# either git 2.38 or newer or apt to install it.
ARG XYN_PYTHON_IMAGE=python:3.13-slim

FROM ${XYN_PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/xyn \
 && /opt/xyn/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      -r requirements.lock \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY xyn_reconciler xyn_reconciler
COPY flask_ui flask_ui
COPY state-repo-template state-repo-template
RUN /opt/build/bin/hatchling build -t wheel -d dist \
 && /opt/xyn/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps dist/*.whl \
 && /opt/xyn/bin/python -m compileall -q /opt/xyn/lib

FROM ${XYN_PYTHON_IMAGE}
RUN git --version || { apt-get update && apt-get install -y --no-install-recommends git \
      && rm -rf /var/lib/apt/lists/*; }
# A home of its own: the named volume takes its owner from this folder when it is made.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/xyn --create-home xyn \
 && chmod 0700 /var/lib/xyn
COPY --from=build /opt/xyn /opt/xyn
ENV PATH=/opt/xyn/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XYN_HOME=/var/lib/xyn \
    XYN_PORT=8080
USER xyn
WORKDIR /var/lib/xyn
VOLUME /var/lib/xyn
EXPOSE 8080
# Ready, not merely alive: database, repository and reconcile lag are well.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=6 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['XYN_PORT'] + '/readyz', timeout=3)"]
STOPSIGNAL SIGTERM
CMD ["xynctl", "up"]
