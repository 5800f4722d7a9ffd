#!/bin/sh
# aimock: answers as OpenAI's and Anthropic's APIs do, for the real SDKs.
set -eu
version=1.43.0
if command -v llmock >/dev/null 2>&1; then
  echo "neighbour llmock: $(command -v llmock)"
  exit 0
fi
sh "$(dirname "$0")/install" npm nodejs npm
npm install --global --silent --no-audit --no-fund --ignore-scripts "@copilotkit/aimock@$version"
echo "neighbour llmock: $(command -v llmock)"
